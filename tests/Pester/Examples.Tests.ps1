# Every example of the help and of the README does what it says: it is run as it stands, on copies of the sample in the places
# that it names. Publishing stops at -WhatIf.

BeforeDiscovery {
    $root = (Resolve-Path "$PSScriptRoot/../..").Path
    Import-Module (Get-ChildItem "$root/artifacts/AwqQuantize/*/AwqQuantize.psd1" | Select-Object -Last 1) -Force
    $examples = foreach ($cmdlet in Get-Command -Module AwqQuantize) {
        foreach ($example in @((Get-Help $cmdlet.Name -Full).Examples.Example)) { @{ Source = $cmdlet.Name; Code = $example.Code } }
    }
    $about = (Get-Content -Raw "$root/module/en-US/about_AwqQuantize.help.txt") -replace '(?s)^.*\nEXAMPLES\n' -replace '(?s)\nSEE ALSO.*$'
    $examples += @{ Source = 'about_AwqQuantize'; Code = $about.Trim() }
    foreach ($block in [regex]::Matches((Get-Content -Raw "$root/README.md"), '(?s)```powershell\n(.*?)```')) {
        $examples += @{ Source = 'README'; Code = $block.Groups[1].Value.Trim() }
    }
}

BeforeAll {
    $root = (Resolve-Path "$PSScriptRoot/../..").Path
    $manifest = (Get-ChildItem "$root/artifacts/AwqQuantize/*/AwqQuantize.psd1" | Select-Object -Last 1).FullName
    Import-Module $manifest -Force
    # Another libtorch of the fitting version: the module's own, by its path.
    $torch = (Get-ChildItem (Split-Path $manifest) -Recurse -Include libtorch_cpu.so, torch_cpu.dll | Select-Object -First 1).DirectoryName
    $text = Get-Content "$root/module/Calibration/narrative.txt" -TotalCount 40
}

Describe 'The example of <Source>' -Tag Integration -ForEach $examples {
    BeforeEach {
        $place = New-Item -ItemType Directory (Join-Path $TestDrive ([guid]::NewGuid()))
        Push-Location $place
        New-Item -ItemType Directory models, quantized, reports, texts, code, hub, samples | Out-Null
        # Its files alone: it may have been quantised where it is.
        foreach ($copy in 'models/llama', 'models/llama-8b', 'models/coder', 'samples/stories-llama') {
            New-Item -ItemType Directory $copy | Out-Null
            Get-ChildItem "$root/samples/stories-llama" -File | Copy-Item -Destination $copy
        }
        foreach ($file in 'wikitext2_test.txt', 'held-out.txt', 'texts/a.txt', 'texts/b.txt', 'code/a.txt') { Set-Content $file $text }
        Set-Content texts.json '["Once upon a time", "there was"]'
        # What an example leaves open is made small.
        $PSDefaultParameterValues = @{ 'Publish-AwqModel:WhatIf' = $true; 'Test-AwqOutput:WarningAction' = 'Ignore'; 'Measure-AwqModel:WarningAction' = 'Ignore' }
        if ($Code -match 'CalibrationData') {
            $PSDefaultParameterValues['Invoke-AwqQuantization:SequenceLength'] = 64
            $PSDefaultParameterValues['Invoke-AwqQuantization:WarningAction'] = 'Ignore'
        }
        else { $PSDefaultParameterValues['Invoke-AwqQuantization:NoCalibration'] = $true }
        # Some look at what was made before.
        $model = "$place/models/llama"
        $folder = "$place/models/llama/AWQ-4bit"
        if ($Code -match 'llama/AWQ-4bit|\$folder') { Invoke-AwqQuantization models/llama | Out-Null }
        if ($Code -match 'llama-8b/AWQ-4bit' -and $Code -notmatch 'Invoke-') { Invoke-AwqQuantization models/llama-8b | Out-Null }
    }

    AfterEach {
        Pop-Location
    }

    It '<Code>' {
        # The place holds no link to the module: Pester clears its drive through links, too.
        $line = $Code -replace '/models\b', "$place/models" -replace '\./artifacts\b', "$root/artifacts" -replace '/quantized\b', "$place/quantized" -replace '~/.cache/huggingface/hub', "$place/hub" `
            -replace '~/venv\b', $torch -replace '\bexit 1\b', "'not good enough'" `
            -replace 'Start-ThreadJob \{', "Start-ThreadJob { Import-Module '$manifest'; `$PSDefaultParameterValues = @{ 'Invoke-AwqQuantization:NoCalibration' = `$true };"
        $ErrorActionPreference = 'Stop'
        { & ([scriptblock]::Create($line)) | Out-String } | Should -Not -Throw
    }
}
