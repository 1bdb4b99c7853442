using System.Management.Automation;
using AwqQuantize.Engine;
using AwqQuantize.Engine.Checkpoints;
using AwqQuantize.Engine.Evaluation;
using AwqQuantize.Engine.Reports;
using AwqQuantize.Engine.Runs;

namespace AwqQuantize.Commands;

/// <summary>Writes the report of a finished checkpoint as one HTML file.</summary>
[Cmdlet(VerbsData.Export, "AwqReport", DefaultParameterSetName = PathSet, SupportsShouldProcess = true)]
[OutputType(typeof(FileInfo))]
public sealed class ExportAwqReportCommand : ModelFolderCommand
{
    private const string ResultSet = "Result";
    private const string FileName = "awq-report.html";

    /// <summary>What Invoke-AwqQuantization returned: the report then also tells times.</summary>
    [Parameter(ParameterSetName = ResultSet, Mandatory = true, ValueFromPipeline = true)]
    [ValidateNotNull]
    public AwqQuantizationResult? InputObject { get; set; }

    /// <summary>What Test-AwqOutput returned.</summary>
    [Parameter(ValueFromPipeline = true)]
    [ValidateNotNull]
    public AwqTestResult? TestResult { get; set; }

    /// <summary>What Measure-AwqModel returned.</summary>
    [Parameter]
    [ValidateNotNull]
    public AwqMeasurement[] Measurement { get; set; } = [];

    /// <summary>The file; by default <c>awq-report.html</c> in the checkpoint's folder.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? OutputPath { get; set; }

    /// <summary>Replaces a file that is there.</summary>
    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void ProcessRecord()
    {
        if (ParameterSetName == ResultSet)
            Attempt(InputObject!.Path, () => Export(InputObject.Path, report => report.With(InputObject)));
        else
            base.ProcessRecord();
    }

    private protected override void ProcessFolder(string folder, string asked) => Export(folder, report => report);

    private void Export(string folder, Func<QuantizationReport, QuantizationReport> complete)
    {
        var file = OutputPath is null ? System.IO.Path.Combine(folder, FileName) : ResolveLiteral(OutputPath);
        var report = complete(ReportFile.Read(folder));
        if (Directory.Exists(file))
            file = System.IO.Path.Combine(file, FileName);
        if (!ShouldProcess(file, "Write the report"))
            return;
        if (File.Exists(file) && !Force)
        {
            throw new AwqException("ReportExists", AwqErrorKind.AlreadyExists, $"The file '{file}' exists already.",
                "Replace it with -Force, or choose another with -OutputPath.");
        }
        AtomicFile.WriteText(file, HtmlReport.Render(report, TestResult, Measurement));
        Emit(new FileInfo(file));
    }
}
