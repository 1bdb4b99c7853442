@{
    RootModule = 'AwqQuantize.dll'
    ModuleVersion = '0.0.0'
    GUID = '72fb16dc-e786-4228-98f8-a85d37d282bb'
    Author = 'The AwqQuantize authors'
    Copyright = '(c) The AwqQuantize authors'
    Description = 'Turns a folder with a Hugging Face text model into a 4-bit AWQ checkpoint that vLLM, transformers and SGLang load: on one GPU or on a CPU alone, layer by layer, without Python.'
    PowerShellVersion = '7.6'
    CompatiblePSEditions = @('Core')
    FormatsToProcess = @('AwqQuantize.Format.ps1xml')
    CmdletsToExport = @('Invoke-AwqQuantization', 'Get-AwqModel', 'Get-AwqArchitecture', 'Get-AwqToken', 'Test-AwqOutput', 'Measure-AwqModel', 'Export-AwqReport', 'Get-AwqDevice', 'Publish-AwqModel')
    FunctionsToExport = @()
    AliasesToExport = @()
    VariablesToExport = @()
    PrivateData = @{
        PSData = @{
            Tags = @('AWQ', 'Quantization', 'LLM', 'vLLM', 'TorchSharp', 'PSEdition_Core', 'Linux', 'Windows')
        }
    }
}
