using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace AwqQuantize.Tests.Module;

public sealed partial class FormatTests
{
    private static readonly XDocument Views = XDocument.Load(Path.Combine(StagedModule.Root, "AwqQuantize.Format.ps1xml"));

    [GeneratedRegex(@"\$_\.(\w+)")]
    private static partial Regex Member { get; }

    [Fact]
    public void EveryTypeThatACmdletGivesHasAViewAndEveryViewItsType()
    {
        using var session = new ModuleSession();
        var given = session.Run("(Get-Command -Module AwqQuantize).OutputType.Type.FullName").ThrowOnError().Output.Select(o => o.ToString()!)
            .Where(n => n.StartsWith("AwqQuantize.", StringComparison.Ordinal)).ToHashSet();
        var viewed = Views.Descendants("TypeName").Select(t => t.Value).ToHashSet();
        Assert.Equal(given.Order(), viewed.Order());
    }

    [Fact]
    public void ViewsNameOnlyMembersThatExist()
    {
        using var session = new ModuleSession();
        session.Run("$null = Get-AwqModel $sample", ("sample", StagedModule.Sample)).ThrowOnError();
        foreach (var view in Views.Descendants("View"))
        {
            var type = AppDomain.CurrentDomain.GetAssemblies().Select(a => a.GetType(view.Descendants("TypeName").Single().Value)).First(t => t is not null)!;
            var named = view.Descendants("PropertyName").Select(p => p.Value).Concat(view.Descendants("ScriptBlock").SelectMany(s => Member.Matches(s.Value).Select(m => m.Groups[1].Value)));
            Assert.All(named, n => Assert.True(type.GetProperty(n) is not null, $"{type.Name} has no {n}"));
        }
    }

    [Theory]
    [InlineData(0L, "0 B")]
    [InlineData(1023L, "1023 B")]
    [InlineData(1024L, "1.00 KB")]
    [InlineData(1837312L, "1.75 MB")]
    [InlineData(16_060_522_496L, "15.0 GB")]
    [InlineData(long.MaxValue, "8192 PB")]
    public void SizesAreReadable(long bytes, string expected)
    {
        using var session = new ModuleSession();
        Assert.Equal(expected, InCulture("", () => session.Run("[AwqQuantize.Display]::Size($n)", ("n", bytes)).ThrowOnError().Output[0].ToString()!));
    }

    [Fact]
    public void ADecimalCommaChangesTheViewAndNothingElse()
    {
        // Built, as the tests run without the system's cultures.
        var comma = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        comma.NumberFormat.NumberDecimalSeparator = ",";
        comma.NumberFormat.NumberGroupSeparator = ".";
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = comma;
        try
        {
            using var session = new ModuleSession();
            Assert.Equal("1,75 MB", session.Run("[AwqQuantize.Display]::Size(1837312)").ThrowOnError().Output[0].ToString());
            var model = Assert.Single(session.Run("Get-AwqModel $sample", ("sample", StagedModule.Sample)).ThrowOnError().Output);
            Assert.Equal(918656L, model.Properties["Parameters"].Value);
            Assert.True((bool)model.Properties["IsSupported"].Value, model.Properties["Reason"].Value?.ToString());
            Assert.Equal(1L << 31, session.Run("[AwqQuantize.Binding.ByteSizeAttribute]::Parse('2.0 GB')").ThrowOnError().Output[0].BaseObject);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    private static T InCulture<T>(string name, Func<T> run)
    {
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo(name);
        try
        {
            return run();
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }
}
