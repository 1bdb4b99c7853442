using System.Management.Automation;

namespace AwqQuantize.Isolation;

/// <summary>Runs at every import. Loads nothing: the first assembly is resolved when the engine first needs it.</summary>
public sealed class ModuleInitializer : IModuleAssemblyInitializer
{
    public void OnImport() => DependencyContext.Register();
}
