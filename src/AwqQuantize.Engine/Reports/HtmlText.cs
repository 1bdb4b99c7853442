namespace AwqQuantize.Engine.Reports;

/// <summary>Text as it stands in HTML and SVG, in elements and in quoted attributes. The file is UTF-8: only markup is escaped.</summary>
internal static class HtmlText
{
    public static string Encode(string text) => text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("\"", "&quot;");
}
