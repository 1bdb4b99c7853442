<#
.SYNOPSIS
Builds the AwqQuantize container image, and pushes it.

.DESCRIPTION
Builds the module, runs the tests, builds the image with docker, podman or buildah, and with -Push sends it to a registry
that you are logged in to. Returns the image's name, digest and the command that pulls it.

On Linux the module is built here and copied into the image; elsewhere the image build does it, in the SDK image.

.EXAMPLE
./build_and_push.ps1
Builds awq-quantize:<version>-cpu for this machine.

.EXAMPLE
./build_and_push.ps1 -Registry ghcr.io -Repository me/awq-quantize -TorchBackend cuda-linux -Push
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    # Host of the registry, with its port; without it the image stays local.
    [string] $Registry,

    # Path below the registry.
    [ValidatePattern('^[a-z0-9]+([._/-]+[a-z0-9]+)*$')]
    [string] $Repository = 'awq-quantize',

    # Default: the version and the backend.
    [ValidatePattern('^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$')]
    [string] $Tag,

    [ValidateSet('cpu', 'cuda-linux')]
    [string] $TorchBackend = 'cpu',

    [ValidateSet('linux/amd64')]
    [string] $Platform = 'linux/amd64',

    # Default: the first of them that is installed.
    [ValidateSet('docker', 'podman', 'buildah')]
    [string] $Engine,

    # Where the image's pwsh comes from: its .NET tool package (tool), a folder or .tar.gz with PowerShell for Linux below the
    # repository, or none: then the console host takes its place.
    [ValidateNotNullOrEmpty()]
    [string] $Pwsh = 'tool',

    # Image to build on; docker/Dockerfile names the default.
    [string] $BaseImage,

    # Image with the .NET SDK, where the module is built in the image.
    [string] $SdkImage,

    [switch] $Push,

    [switch] $SkipTests
)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 3
$root = $PSScriptRoot

# Runs a program and stops at its failure; what it prints goes to the error stream of the console, not to our output.
function Invoke-Program {
    param([string] $Program, [string[]] $Arguments)
    Write-Verbose "$Program $($Arguments -join ' ')"
    & $Program @Arguments | ForEach-Object { [Console]::Error.WriteLine($_) }
    if ($LASTEXITCODE -ne 0) { throw "'$Program $($Arguments[0])' ended with exit code $LASTEXITCODE." }
}

function Get-ProgramOutput {
    param([string] $Program, [string[]] $Arguments)
    $output = & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { throw "'$Program $($Arguments[0])' ended with exit code $LASTEXITCODE." }
    (@($output) -join "`n").Trim()
}

function Test-Program {
    param([string] $Name)
    [bool] $ExecutionContext.InvokeCommand.GetCommand($Name, 'Application')
}

# Whether the engine knows credentials for the registry. Nothing of them is read but their presence.
function Test-Login {
    param([string] $Engine, [string] $Registry)
    if ($Engine -ne 'docker') {
        & $Engine login --get-login $Registry 2>&1 | ForEach-Object { }
        return $LASTEXITCODE -eq 0
    }
    $folder = if ($env:DOCKER_CONFIG) { $env:DOCKER_CONFIG } else { [IO.Path]::Combine([Environment]::GetFolderPath('UserProfile'), '.docker') }
    $file = [IO.Path]::Combine($folder, 'config.json')
    if (-not [IO.File]::Exists($file)) { return $false }
    $config = [Text.Json.Nodes.JsonNode]::Parse([IO.File]::ReadAllText($file))
    $keys = if ($Registry -eq 'docker.io') { @('https://index.docker.io/v1/', 'docker.io') } else { @($Registry, "https://$Registry") }
    foreach ($section in 'auths', 'credHelpers') {
        foreach ($key in $keys) {
            if ($null -ne $config[$section] -and $config[$section].ContainsKey($key)) { return $true }
        }
    }
    $null -ne $config['credsStore']
}

$version = [regex]::Match([IO.File]::ReadAllText([IO.Path]::Combine($root, 'Directory.Build.props')), '<Version>([^<]+)</Version>').Groups[1].Value
if (-not $Tag) { $Tag = "$version-$($TorchBackend -replace '-linux$')" }
if (-not $Engine) {
    foreach ($candidate in 'docker', 'podman', 'buildah') {
        if (Test-Program $candidate) { $Engine = $candidate; break }
    }
    if (-not $Engine) { throw 'None of docker, podman and buildah is installed.' }
}
elseif (-not (Test-Program $Engine)) { throw "'$Engine' is not installed." }
if ($Push -and -not $Registry) { throw '-Push needs -Registry.' }
$local = $Registry -match '^(localhost|127\.|\[::1\])'
$image = if ($Registry) { "${Registry}/${Repository}:$Tag" } else { "${Repository}:$Tag" }
# Asked before the long part, not after it.
if ($Push -and -not $WhatIfPreference -and -not (Test-Login $Engine $Registry)) {
    throw "There is no login for '$Registry': run '$Engine login $Registry' first."
}

$prepared = [IO.Path]::Combine($root, 'artifacts', 'image')
if ($PSCmdlet.ShouldProcess("AwqQuantize $version ($TorchBackend)", 'Build the module')) {
    if ([OperatingSystem]::IsLinux()) {
        Invoke-Program 'sh' @([IO.Path]::Combine($root, 'docker', 'prepare.sh'), $TorchBackend, $prepared, $Pwsh)
    }
    else {
        if ([IO.Directory]::Exists($prepared)) { [IO.Directory]::Delete($prepared, $true) }
        Invoke-Program 'dotnet' @('build', '-c', 'Release', [IO.Path]::Combine($root, 'src', 'AwqQuantize.Console'))
    }
}
if (-not $SkipTests -and $PSCmdlet.ShouldProcess("AwqQuantize $version", 'Run the tests')) {
    Invoke-Program 'dotnet' @('test', '-c', 'Release', $root)
}

$revision = 'unknown'
if ((Test-Program 'git') -and [IO.Path]::Exists([IO.Path]::Combine($root, '.git'))) {
    $revision = Get-ProgramOutput 'git' @('-C', $root, 'rev-parse', 'HEAD')
}
$build = @(if ($Engine -eq 'buildah') { 'bud'; '--format'; 'docker' } else { 'build' })
$build += '--platform', $Platform, '--tag', $image, '--file', [IO.Path]::Combine($root, 'docker', 'Dockerfile'),
    '--build-arg', "TORCH_BACKEND=$TorchBackend", '--build-arg', "PWSH=$Pwsh", '--build-arg', "VERSION=$version", '--build-arg', "REVISION=$revision"
if ($BaseImage) { $build += '--build-arg', "BASE_IMAGE=$BaseImage" }
if ($SdkImage) { $build += '--build-arg', "SDK_IMAGE=$SdkImage" }
# A prepared module needs no SDK: any image that can copy will do.
elseif ([IO.Directory]::Exists($prepared)) { $build += '--build-arg', "SDK_IMAGE=$(if ($BaseImage) { $BaseImage } else { 'docker.io/library/debian:12-slim' })" }
$build += $root
if ($PSCmdlet.ShouldProcess($image, "Build the image with $Engine")) {
    Invoke-Program $Engine $build
}

$digest = $null
if ($Push -and $PSCmdlet.ShouldProcess($image, "Push with $Engine")) {
    if ($Engine -eq 'docker') {
        Invoke-Program 'docker' @('push', $image)
        # The same image may have been pushed elsewhere before, as another manifest; docker leaves its own registry's name out.
        $name = "${Registry}/${Repository}" -replace '^(index\.)?docker\.io/(library/)?'
        $known = (Get-ProgramOutput 'docker' @('inspect', '--format', '{{join .RepoDigests " "}}', $image)) -split ' '
        $own = @($known -like "$name@*")
        if (-not $own) { throw "docker does not tell the digest of '$image'." }
        $digest = $own[-1] -replace '^.*@'
    }
    else {
        $digestFile = [IO.Path]::GetTempFileName()
        try {
            $arguments = @('push', '--digestfile', $digestFile)
            # Plain HTTP on this machine only, as docker does it by itself.
            if ($local) { $arguments += '--tls-verify=false' }
            Invoke-Program $Engine ($arguments + @($image, "docker://$image"))
            $digest = [IO.File]::ReadAllText($digestFile).Trim()
        }
        finally { [IO.File]::Delete($digestFile) }
    }
}
if (-not $WhatIfPreference) {
    [pscustomobject]@{
        Image        = $image
        Digest       = $digest
        PullCommand  = if ($digest) { "$Engine pull ${Registry}/${Repository}@$digest" } else { $null }
        TorchBackend = $TorchBackend
        Engine       = $Engine
    }
}
