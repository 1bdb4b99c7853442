using System.Management.Automation;
using System.Reflection;

namespace AwqQuantize.Tests.Module;

/// <summary>What PowerShell's guidelines ask of a module, for every cmdlet that there is.</summary>
public sealed class ConventionTests
{
    private static readonly string[] Common = [.. Cmdlet.CommonParameters, .. Cmdlet.OptionalCommonParameters];

    private static List<CmdletInfo> Cmdlets(ModuleSession session) =>
        [.. session.Run("Get-Command -Module AwqQuantize -CommandType Cmdlet").ThrowOnError().Output.Select(o => (CmdletInfo)o.BaseObject)];

    [Fact]
    public void EveryCmdletClassIsExportedAndNamedAfterTheCmdlet()
    {
        using var session = new ModuleSession();
        var exported = Cmdlets(session);
        var assembly = exported[0].ImplementingType.Assembly;
        var classes = assembly.GetExportedTypes().Where(t => t.GetCustomAttribute<CmdletAttribute>() is not null).ToList();
        Assert.Equal(classes.Select(c => c.Name).Order(), exported.Select(c => c.ImplementingType.Name).Order());
        Assert.All(exported, c => Assert.Equal($"AwqQuantize.Commands.{c.Name.Replace("-", "")}Command", c.ImplementingType.FullName));
        Assert.All(exported, c => Assert.True(c.ImplementingType.IsSealed));
    }

    [Fact]
    public void VerbsAreApprovedAndNounsSingularWithThePrefix()
    {
        var approved = typeof(VerbsCommon).Assembly.GetExportedTypes().Where(t => t.Name.StartsWith("Verbs", StringComparison.Ordinal))
            .SelectMany(t => t.GetFields(BindingFlags.Public | BindingFlags.Static)).Select(f => (string)f.GetValue(null)!).ToHashSet();
        using var session = new ModuleSession();
        Assert.All(Cmdlets(session), c =>
        {
            Assert.Contains(c.Verb, approved);
            Assert.StartsWith("Awq", c.Noun);
            Assert.False(c.Noun.EndsWith('s'), c.Noun);
        });
        var import = session.Run("Import-Module $manifest -Force", ("manifest", StagedModule.Manifest));
        Assert.Empty(import.Warnings);
    }

    [Fact]
    public void OutputIsDeclaredAndEveryDeclaredTypeExists()
    {
        using var session = new ModuleSession();
        Assert.All(Cmdlets(session), c => Assert.All(c.OutputType.Count > 0 ? c.OutputType : throw new InvalidOperationException(c.Name), o => Assert.NotNull(o.Type)));
    }

    [Fact]
    public void ParametersAreSingularAndSwitchesAreSwitches()
    {
        using var session = new ModuleSession();
        foreach (var cmdlet in Cmdlets(session))
        {
            foreach (var parameter in cmdlet.Parameters.Values.Where(p => !Common.Contains(p.Name)))
            {
                Assert.False(parameter.ParameterType == typeof(bool), $"{cmdlet.Name} -{parameter.Name} is a bool");
                Assert.False(parameter.Name.EndsWith('s'), $"{cmdlet.Name} -{parameter.Name} is plural");
                if (parameter.ParameterType == typeof(string[]) || parameter.ParameterType == typeof(string))
                    Assert.True(parameter.Attributes.Any(a => a is ValidateArgumentsAttribute or AllowEmptyStringAttribute), $"{cmdlet.Name} -{parameter.Name} takes empty text");
            }
        }
    }

    [Fact]
    public void PathsComeAsPathAndLiteralPathInSetsOfTheirOwn()
    {
        using var session = new ModuleSession();
        foreach (var cmdlet in Cmdlets(session).Where(c => c.Parameters.ContainsKey("LiteralPath")))
        {
            Assert.Equal(["LP", "PSPath"], cmdlet.Parameters["LiteralPath"].Aliases.Order());
            var path = cmdlet.Parameters["Path"];
            var set = Assert.Single(path.ParameterSets);
            Assert.Equal((0, true, true), (set.Value.Position, set.Value.ValueFromPipeline, set.Value.ValueFromPipelineByPropertyName));
            Assert.True(cmdlet.Parameters["LiteralPath"].ParameterSets.Single().Value.ValueFromPipelineByPropertyName);
            Assert.DoesNotContain(set.Key, cmdlet.Parameters["LiteralPath"].ParameterSets.Keys);
            Assert.Contains(path.Attributes, a => a is SupportsWildcardsAttribute);
        }
    }

    [Fact]
    public void ManifestNamesWhatItExportsWithoutWildcards()
    {
        var text = File.ReadAllText(StagedModule.Manifest);
        using var session = new ModuleSession();
        var data = (System.Collections.Hashtable)session.Run("& ([scriptblock]::Create($text))", ("text", text)).ThrowOnError().Output.Single().BaseObject;
        Assert.Equal("AwqQuantize.dll", data["RootModule"]);
        foreach (var key in (string[])["CmdletsToExport", "FunctionsToExport", "AliasesToExport", "VariablesToExport"])
            Assert.DoesNotContain(((object[])data[key]!).Select(o => o.ToString()!), n => n.Contains('*'));
        Assert.Equal(Path.GetFileName(StagedModule.Root), data["ModuleVersion"]);
        foreach (var file in ((object[])data["FormatsToProcess"]!).Select(o => o.ToString()!))
            Assert.True(File.Exists(Path.Combine(StagedModule.Root, file)));
    }
}
