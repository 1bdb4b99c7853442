using System.Management.Automation;
using System.Xml.Linq;

namespace AwqQuantize.Tests.Module;

/// <summary>The help file says of every cmdlet and parameter what it is, and of nothing that there is not.</summary>
public sealed class HelpTests
{
    private static readonly XNamespace CommandNamespace = "http://schemas.microsoft.com/maml/dev/command/2004/10";
    private static readonly XNamespace Maml = "http://schemas.microsoft.com/maml/2004/10";
    private static readonly string[] Common = [.. Cmdlet.CommonParameters];
    private static readonly List<XElement> Commands =
        [.. XDocument.Load(Path.Combine(StagedModule.Root, "en-US", "AwqQuantize.dll-Help.xml")).Root!.Elements(CommandNamespace + "command")];

    private static List<CmdletInfo> Cmdlets(ModuleSession session) =>
        [.. session.Run("Get-Command -Module AwqQuantize -CommandType Cmdlet").ThrowOnError().Output.Select(o => (CmdletInfo)o.BaseObject)];

    private static XElement HelpOf(string name) => Commands.Single(c => c.Descendants(CommandNamespace + "name").First().Value.Trim() == name);

    [Fact]
    public void CoversTheCmdletsThatThereAre()
    {
        using var session = new ModuleSession();
        Assert.Equal(Cmdlets(session).Select(c => c.Name).Order(), Commands.Select(c => c.Descendants(CommandNamespace + "name").First().Value.Trim()).Order());
    }

    [Fact]
    public void CoversEveryParameterWithItsProperties()
    {
        using var session = new ModuleSession();
        foreach (var cmdlet in Cmdlets(session))
        {
            var described = HelpOf(cmdlet.Name).Element(CommandNamespace + "parameters")!.Elements(CommandNamespace + "parameter").ToDictionary(p => p.Element(Maml + "name")!.Value);
            var there = cmdlet.Parameters.Values.Where(p => !Common.Contains(p.Name)).ToDictionary(p => p.Name);
            Assert.Equal(there.Keys.Order(), described.Keys.Order());
            foreach (var (name, parameter) in there)
            {
                var where = $"{cmdlet.Name} -{name}";
                var help = described[name];
                Assert.True(help.Element(Maml + "description")!.Value.Trim().Length > 10, where);
                Assert.Equal((where, parameter.ParameterSets.Values.All(s => s.IsMandatory)), (where, bool.Parse(help.Attribute("required")!.Value)));
                var position = parameter.ParameterSets.Values.Max(s => s.Position);
                Assert.Equal((where, position < 0 ? "named" : position.ToString()), (where, help.Attribute("position")!.Value));
                var set = parameter.ParameterSets.Values.First();
                Assert.Equal((where, (set.ValueFromPipeline, set.ValueFromPipelineByPropertyName) switch
                {
                    (true, true) => "True (ByValue, ByPropertyName)",
                    (true, false) => "True (ByValue)",
                    (false, true) => "True (ByPropertyName)",
                    _ => "False",
                }), (where, help.Attribute("pipelineInput")!.Value));
                Assert.Equal((where, parameter.Attributes.Any(a => a is SupportsWildcardsAttribute)), (where, bool.Parse(help.Attribute("globbing")!.Value)));
            }
        }
    }

    [Fact]
    public void SyntaxHasEveryParameterSet()
    {
        using var session = new ModuleSession();
        foreach (var cmdlet in Cmdlets(session))
        {
            var written = HelpOf(cmdlet.Name).Element(CommandNamespace + "syntax")!.Elements(CommandNamespace + "syntaxItem")
                .Select(i => string.Join(' ', i.Elements(CommandNamespace + "parameter").Select(p => p.Element(Maml + "name")!.Value).Order())).Order();
            var there = cmdlet.ParameterSets.Select(s => string.Join(' ', s.Parameters.Select(p => p.Name).Where(p => !Cmdlet.CommonParameters.Contains(p)).Order())).Order();
            Assert.Equal(there, written);
        }
    }

    [Fact]
    public void EveryCmdletHasSynopsisDescriptionExamplesInputsAndOutputs()
    {
        foreach (var command in Commands)
        {
            var details = command.Element(CommandNamespace + "details")!;
            Assert.InRange(details.Element(Maml + "description")!.Value.Trim().Length, 20, 200);
            Assert.True(command.Element(Maml + "description")!.Value.Trim().Length > 100);
            var examples = command.Element(CommandNamespace + "examples")!.Elements(CommandNamespace + "example").ToList();
            Assert.True(examples.Count >= 2, details.Value);
            Assert.All(examples, e => Assert.Contains("Awq", e.Descendants().First(d => d.Name.LocalName == "code").Value));
            Assert.NotEmpty(command.Element(CommandNamespace + "inputTypes")!.Elements());
            Assert.NotEmpty(command.Element(CommandNamespace + "returnValues")!.Elements());
        }
    }

    [Fact]
    public void GetHelpShowsItAndTheAboutTopicIsThere()
    {
        using var session = new ModuleSession();
        foreach (var cmdlet in Cmdlets(session))
        {
            var synopsis = session.Run("(Get-Help $name).Synopsis", ("name", cmdlet.Name)).ThrowOnError().Output.Single().ToString()!.Trim();
            Assert.Equal(HelpOf(cmdlet.Name).Element(CommandNamespace + "details")!.Element(Maml + "description")!.Value.Trim(), synopsis);
        }
        var about = File.ReadAllText(Path.Combine(StagedModule.Root, "en-US", "about_AwqQuantize.help.txt"));
        Assert.All(Cmdlets(session), c => Assert.Contains(c.Name, about));
    }
}
