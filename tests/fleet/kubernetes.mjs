// Checks docker/kubernetes/job.yaml against Kubernetes' schema, values and names: npm install --no-package-lock, then node kubernetes.mjs
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { load } from "js-yaml";
import { Job } from "kubernetes-models/batch/v1/Job";

const manifest = load(readFileSync(new URL("../../docker/kubernetes/job.yaml", import.meta.url), "utf8"));
new Job(manifest).validate();

// The validator lets unknown names pass; the compiler does not.
function compile(job) {
    const source = new URL("job.generated.ts", import.meta.url);
    writeFileSync(source, `import { IJob } from "kubernetes-models/batch/v1/Job";\nexport const job: IJob = ${JSON.stringify(job)};\n`);
    try {
        execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022",
            "--module", "nodenext", "--moduleResolution", "nodenext", "job.generated.ts"], { cwd: new URL(".", import.meta.url), stdio: "pipe" });
        return true;
    } catch {
        return false;
    } finally {
        rmSync(source);
    }
}
if (!compile(manifest)) throw new Error("job.yaml has names that the schema does not have");
if (compile({ ...manifest, spec: { ...manifest.spec, paralelism: 2 } })) throw new Error("the check takes anything");
console.log("docker/kubernetes/job.yaml is valid.");
