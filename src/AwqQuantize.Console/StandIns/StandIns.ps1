# Stand-ins for commands of Microsoft.PowerShell.Utility and .Management, which the hosting package lacks.

function Write-Host {
    param([Parameter(Position = 0, ValueFromPipeline, ValueFromRemainingArguments)][object]$Object, [object]$Separator = ' ', [switch]$NoNewline)
    process {
        $text = @($Object) -join $Separator
        if ($NoNewline) { $Host.UI.Write($text) } else { $Host.UI.WriteLine($text) }
    }
}

function Write-Output {
    param([Parameter(Mandatory, Position = 0, ValueFromPipeline)][AllowNull()][object]$InputObject)
    process { $InputObject }
}

function Write-Warning {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0, ValueFromPipeline)][string]$Message)
    process { $PSCmdlet.WriteWarning($Message) }
}

function Write-Verbose {
    [CmdletBinding()]
    param([Parameter(Mandatory, Position = 0, ValueFromPipeline)][string]$Message)
    process { $PSCmdlet.WriteVerbose($Message) }
}

function Select-Object {
    param([Parameter(Position = 0)][string[]]$Property, [string]$ExpandProperty, [int]$First, [int]$Last, [Parameter(ValueFromPipeline)][object]$InputObject)
    begin { $all = [System.Collections.Generic.List[object]]::new() }
    process { $all.Add($InputObject) }
    end {
        $from = if ($PSBoundParameters.ContainsKey('Last')) { [Math]::Max(0, $all.Count - $Last) } else { 0 }
        $count = if ($PSBoundParameters.ContainsKey('First')) { [Math]::Min($First, $all.Count) } else { $all.Count - $from }
        foreach ($item in $all.GetRange($from, $count)) {
            if ($ExpandProperty) { $item.$ExpandProperty }
            elseif ($Property) {
                $picked = [ordered]@{}
                foreach ($pattern in $Property) {
                    $matching = @($item.PSObject.Properties.Match($pattern))
                    if ($matching.Count -eq 0) { $picked[$pattern] = $null }
                    foreach ($found in $matching) { $picked[$found.Name] = $found.Value }
                }
                [pscustomobject]$picked
            }
            else { $item }
        }
    }
}

function Sort-Object {
    param([Parameter(Position = 0)][string]$Property, [switch]$Descending, [Parameter(ValueFromPipeline)][object]$InputObject)
    begin { $all = [System.Collections.Generic.List[object]]::new() }
    process { $all.Add($InputObject) }
    end {
        $key = [Func[object, object]] { param($item) if ($Property) { $item.$Property } else { $item } }
        if ($Descending) { [System.Linq.Enumerable]::OrderByDescending($all, $key) } else { [System.Linq.Enumerable]::OrderBy($all, $key) }
    }
}

function Get-ChildItem {
    param([Parameter(Position = 0)][string]$Path = '.', [switch]$Directory, [switch]$File, [switch]$Recurse)
    $options = @{ Directory = $Directory; File = $File }
    foreach ($item in $ExecutionContext.InvokeProvider.ChildItem.Get($Path, [bool]$Recurse)) {
        if (($options.Directory -and -not $item.PSIsContainer) -or ($options.File -and $item.PSIsContainer)) { continue }
        $item
    }
}

function Get-Item {
    param([Parameter(Mandatory, Position = 0)][string]$Path)
    $ExecutionContext.InvokeProvider.Item.Get($Path)
}

function Get-Content {
    param([Parameter(Mandatory, Position = 0)][string]$Path, [switch]$Raw)
    $full = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path)
    if ($Raw) { [System.IO.File]::ReadAllText($full) } else { [System.IO.File]::ReadAllLines($full) }
}

function Set-Content {
    param([Parameter(Mandatory, Position = 0)][string]$Path, [Parameter(Mandatory, Position = 1, ValueFromPipeline)][object]$Value)
    begin { $lines = [System.Collections.Generic.List[string]]::new() }
    process { foreach ($line in $Value) { $lines.Add([string]$line) } }
    end { [System.IO.File]::WriteAllLines($ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Path), $lines) }
}

function Test-Path {
    param([Parameter(Mandatory, Position = 0)][string]$Path)
    $ExecutionContext.InvokeProvider.Item.Exists($Path)
}

function Join-Path {
    param([Parameter(Mandatory, Position = 0)][string]$Path, [Parameter(Mandatory, Position = 1)][string]$ChildPath)
    $ExecutionContext.SessionState.Path.Combine($Path, $ChildPath)
}

function Get-Location { $ExecutionContext.SessionState.Path.CurrentLocation }

function Set-Location {
    param([Parameter(Mandatory, Position = 0)][string]$Path)
    $null = $ExecutionContext.SessionState.Path.SetLocation($Path)
}
