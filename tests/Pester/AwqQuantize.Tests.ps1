# Run with Pester 5 in pwsh, against the staged module:
#   Invoke-Pester tests/Pester
# Everything asserted here is also asserted by tests/AwqQuantize.Tests in a hosted runspace.

BeforeDiscovery {
    $staged = Get-ChildItem "$PSScriptRoot/../../artifacts/AwqQuantize/*/AwqQuantize.psd1" | Select-Object -Last 1
    Import-Module $staged.FullName -Force
    $cmdlets = Get-Command -Module AwqQuantize | ForEach-Object { @{ Name = $_.Name } }
}

BeforeAll {
    $staged = Get-ChildItem "$PSScriptRoot/../../artifacts/AwqQuantize/*/AwqQuantize.psd1" | Select-Object -Last 1
    $manifest = $staged.FullName
    $sample = (Resolve-Path "$PSScriptRoot/../../samples/stories-llama").Path
    Import-Module $manifest -Force
}

Describe 'The module' -Tag Unit {
    It 'has a valid manifest' {
        (Test-ModuleManifest $manifest).Version.ToString() | Should -Be (Split-Path (Split-Path $manifest) -Leaf)
    }

    It 'imports again with -Force and keeps its cmdlets' {
        Import-Module $manifest -Force
        Import-Module $manifest -Force
        (Get-AwqModel $sample).Name | Should -Be 'stories-llama'
    }

    It 'works again after it was removed' {
        Remove-Module AwqQuantize
        Get-Module AwqQuantize | Should -BeNullOrEmpty
        Import-Module $manifest
        (Get-AwqModel $sample).Name | Should -Be 'stories-llama'
    }

    It 'is imported by its folder, as the README says' {
        (Import-Module (Split-Path (Split-Path $manifest)) -Force -PassThru).Name | Should -Be 'AwqQuantize'
    }

    It 'completes devices' {
        $line = 'Invoke-AwqQuantization x -Device c'
        (TabExpansion2 $line $line.Length).CompletionMatches.CompletionText | Should -Contain 'cpu'
    }

    It 'completes module names of the model that the line names' {
        $line = "Invoke-AwqQuantization '$sample' -ExcludeModule gate"
        (TabExpansion2 $line $line.Length).CompletionMatches.CompletionText | Should -Not -BeNullOrEmpty
    }

    It 'shows an error as message and advice, without a trace' {
        $text = Get-AwqModel (Join-Path $TestDrive 'nowhere') -ErrorAction Continue 2>&1 | Out-String
        $text | Should -Match 'There is no folder'
        $text | Should -Match 'Recommendation: Check the path'
        $text | Should -Not -Match '   at '
    }

    It 'works in parallel runspaces' {
        $names = 1..4 | ForEach-Object -Parallel { Import-Module $using:manifest; (Get-AwqModel $using:sample).Name }
        $names | Should -Be (@('stories-llama') * 4)
    }

    It '<Name> has help with examples' -ForEach $cmdlets {
        $help = Get-Help $Name -Full
        $help.Synopsis | Should -Not -BeNullOrEmpty
        @($help.Examples.Example).Count | Should -BeGreaterOrEqual 2
    }

    It '<Name> has an approved verb' -ForEach $cmdlets {
        (Get-Verb).Verb | Should -Contain ($Name -split '-')[0]
    }
}

Describe 'Get-AwqModel' -Tag Unit {
    It 'describes the sample' {
        $model = Get-AwqModel $sample
        $model.Architecture | Should -Be 'llama'
        $model.Parameters | Should -Be 918656
        $model.IsSupported | Should -BeTrue
    }

    It 'gives an error with a stable identifier' {
        { Get-AwqModel (Join-Path $TestDrive 'nowhere') -ErrorAction Stop } |
            Should -Throw -ErrorId 'ModelFolderMissing,AwqQuantize.Commands.GetAwqModelCommand'
    }

    It 'binds files of Get-ChildItem' {
        (Get-ChildItem (Split-Path $sample) -Directory | Get-AwqModel).Name | Should -Be 'stories-llama'
    }
}

Describe 'Invoke-AwqQuantization' -Tag Integration {
    BeforeEach {
        $model = Join-Path $TestDrive ([guid]::NewGuid())
        # Its files alone: it may have been quantised where it is.
        New-Item -ItemType Directory $model | Out-Null
        Get-ChildItem $sample -File | Copy-Item -Destination $model
    }

    It 'quantises, and its result pipes on' {
        $result = Invoke-AwqQuantization $model -NoCalibration
        $result.Path | Should -Be (Join-Path $model 'AWQ-4bit')
        ($result | Get-AwqModel).Quantization | Should -Be 'awq'
    }

    It 'works in a thread job, and its result comes back as a table' {
        $text = Start-ThreadJob { Import-Module $using:manifest; Invoke-AwqQuantization $using:model -NoCalibration } | Receive-Job -Wait -AutoRemoveJob | Out-String -Width 500
        $text | Should -Match ([regex]::Escape((Join-Path $model 'AWQ-4bit')))
    }

    It 'writes nothing with -WhatIf' {
        Invoke-AwqQuantization $model -WhatIf | Should -BeNullOrEmpty
        Get-ChildItem $model -Directory | Should -BeNullOrEmpty
    }

    It 'needs -Force for an existing destination' {
        $null = Invoke-AwqQuantization $model -NoCalibration
        { Invoke-AwqQuantization $model -NoCalibration -ErrorAction Stop } |
            Should -Throw -ErrorId 'DestinationExists,AwqQuantize.Commands.InvokeAwqQuantizationCommand'
        { Invoke-AwqQuantization $model -NoCalibration -Force -ErrorAction Stop } | Should -Not -Throw
    }

    It 'goes on after a bad model' {
        $bad = New-Item -ItemType Directory (Join-Path $TestDrive ([guid]::NewGuid()))
        $results = $bad.FullName, $model | Invoke-AwqQuantization -NoCalibration -ErrorVariable failure -ErrorAction SilentlyContinue
        @($results).Count | Should -Be 1
        $failure[0].TargetObject | Should -Be $bad.FullName
    }

    It 'leaves no TorchSharp in the default load context' {
        $null = Invoke-AwqQuantization $model -NoCalibration
        [System.Runtime.Loader.AssemblyLoadContext]::Default.Assemblies.GetName().Name | Should -Not -Contain 'TorchSharp'
    }
}
