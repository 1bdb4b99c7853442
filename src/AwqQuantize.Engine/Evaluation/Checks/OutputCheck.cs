namespace AwqQuantize.Engine.Evaluation;

/// <summary>One named check of a checkpoint.</summary>
internal abstract class OutputCheck
{
    /// <summary>Findings beyond this many are counted, not listed.</summary>
    private const int Listed = 20;

    /// <summary>Stable name.</summary>
    public abstract string Name { get; }

    /// <summary>Everything that is not as it should be; nothing where all is well.</summary>
    protected abstract IEnumerable<AwqCheck> Find(OutputFolder folder);

    /// <summary>What to say where all is well; asked for after <see cref="Find"/>.</summary>
    protected abstract string Praise(OutputFolder folder);

    public IReadOnlyList<AwqCheck> Run(OutputFolder folder)
    {
        var findings = Find(folder).OrderByDescending(f => f.Status).ToList();
        if (findings.Count == 0)
            return [new AwqCheck(Name, CheckStatus.Passed, "", Praise(folder))];
        return findings.Count <= Listed ? findings
            : [.. findings.Take(Listed), new AwqCheck(Name, findings[Listed].Status, "", $"{findings.Count - Listed} more findings like these.")];
    }

    protected AwqCheck Failed(string subject, string message) => new(Name, CheckStatus.Failed, subject, message);

    protected AwqCheck Warning(string subject, string message) => new(Name, CheckStatus.Warning, subject, message);

    protected AwqCheck NotRun(string message) => new(Name, CheckStatus.NotRun, "", message);
}
