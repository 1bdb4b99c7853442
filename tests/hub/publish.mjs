// Publishes a folder with the official client on the hub at HUB_URL, lists it and reads every file back.
// Usage: HUB_URL=… HUB_TOKEN=… node publish.mjs <namespace/name> <folder> [branch] [--pr]
import { createRepo, createBranch, uploadFiles, listFiles, downloadFile, whoAmI } from "@huggingface/hub";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [name, folder, branch = "main", pr] = process.argv.slice(2);
const hubUrl = process.env.HUB_URL;
const accessToken = process.env.HUB_TOKEN;
const repo = { type: "model", name };

await whoAmI({ accessToken, hubUrl });
await createRepo({ repo, accessToken, hubUrl, private: true });
if (branch !== "main") await createBranch({ repo, branch, accessToken, hubUrl });

const contents = new Map(readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => {
    const path = join(e.parentPath ?? e.path, e.name);
    return [path.slice(folder.length + 1), readFileSync(path)];
}));
const commit = await uploadFiles({
    repo, accessToken, hubUrl, branch, useXet: false, isPullRequest: pr === "--pr", commitTitle: "Upload AWQ checkpoint",
    files: [...contents].map(([path, bytes]) => ({ path, content: new Blob([bytes]) })),
});

const revision = commit.commit.oid;
const listed = new Map();
for await (const file of listFiles({ repo, accessToken, hubUrl, revision, recursive: true })) {
    if (file.type === "file") listed.set(file.path, file);
}
for (const [path, bytes] of contents) {
    if (listed.get(path)?.size !== bytes.length) throw new Error(`${path} is listed as ${JSON.stringify(listed.get(path))}`);
    const blob = await downloadFile({ repo, path, accessToken, hubUrl, revision, xet: false });
    const back = Buffer.from(await blob.arrayBuffer());
    if (!back.equals(bytes)) throw new Error(`${path} came back different`);
}
console.log(JSON.stringify({ oid: revision, pullRequestUrl: commit.pullRequestUrl ?? null, files: listed.size }));
