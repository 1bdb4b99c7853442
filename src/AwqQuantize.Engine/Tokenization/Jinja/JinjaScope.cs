namespace AwqQuantize.Engine.Tokenization.Jinja;

/// <summary>Names and values; what is set inside a loop or macro does not leave it.</summary>
internal sealed class JinjaScope(JinjaScope? outer)
{
    private readonly Dictionary<string, object?> values = new(StringComparer.Ordinal);

    public void Set(string name, object? value) => values[name] = value;

    public object? Find(string name)
    {
        for (JinjaScope? scope = this; scope is not null; scope = scope.Outer)
        {
            if (scope.values.TryGetValue(name, out object? value))
            {
                return value;
            }
        }

        return new JinjaUndefined(name);
    }

    private JinjaScope? Outer { get; } = outer;
}
