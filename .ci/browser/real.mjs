// The program itself in a real browser: the setup from an empty folder to the first
// complete backup, and the practice that the demo serves. run.mjs calls it with the rules
// that are the same for all pages.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { zone } from "./awkward.mjs";
import { fullest, walk } from "./walk.mjs";

// start runs a command of the program until it has printed all that is waited for. Everything
// that it writes lies in a folder of its own.
export function start(bin, home, args, patterns) {
	for (const d of ["", "config", "run", "tmp"]) mkdirSync(path.join(home, d), { recursive: true, mode: 0o700 });
	const child = spawn(bin, args, { cwd: home, env: surroundings(home), stdio: ["ignore", "pipe", "pipe"] });
	let out = "";
	const ended = new Promise((done) => child.on("exit", done));
	const stop = async () => { child.kill("SIGINT"); await ended; };
	const ready = new Promise((good, bad) => {
		const read = (data) => {
			out += data;
			const found = patterns.map((p) => out.match(p));
			if (found.every(Boolean)) good(found.map((m) => m[1]));
		};
		child.stdout.on("data", read);
		child.stderr.on("data", read);
		child.on("exit", (code) => bad(new Error(`${args[0]} ended with ${code}: ${out.slice(-500)}`)));
		setTimeout(() => bad(new Error(`${args[0]} did not come up: ${out.slice(-500)}`)), 240000).unref();
	});
	return ready.then((found) => ({ found, stop }), async (e) => { await stop(); throw e; });
}

export const surroundings = (home) => ({ PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: path.join(home, "config"),
	XDG_DATA_HOME: path.join(home, "data"), XDG_RUNTIME_DIR: path.join(home, "run"), TMPDIR: path.join(home, "tmp"), TZ: zone });

const digits = (s) => Number(s.replaceAll(",", ""));

export function real({ root, work, shots, context, watch, look, shot, want, signIn, lock, unlockAndLeave, lastSteps }) {
	const bin = path.join(work, "chartcellar");
	const status = (home, settings) => JSON.parse(execFileSync(bin, ["status", "--json", ...(settings ? ["--config", settings] : [])],
		{ env: surroundings(home), stdio: ["ignore", "pipe", "inherit"] }));

	// sameCounts holds what Home says against what the command says.
	async function sameCounts(page, where, s) {
		await page.goto("/");
		const totals = await page.locator(".totals > div").evaluateAll((all) => Object.fromEntries(all.map((d) => [d.querySelector("dt").textContent, d.querySelector("dd").textContent])));
		want(digits(totals.Records) === s.records, where, `${totals.Records} records on Home, ${s.records} by the command`);
		want(digits(totals.Patients) === s.patients, where, `${totals.Patients} patients on Home, ${s.patients} by the command`);
		want((await page.locator(".verdict .word > span").first().textContent()) === s.word, where, "another word than the command says: " + s.word);
	}

	// finish waits until the run that the page watches is over, and opens its report.
	async function finish(page, where, seen) {
		await page.goto("/backups/progress");
		for (let i = 0; i < 600 && !(await page.locator("text=No run is under way").count()); i++) {
			await page.waitForTimeout(250);
			await page.goto("/backups/progress");
		}
		want((await page.locator("text=The last one ended").count()) === 1, where, "the page of the progress does not tell the end");
		await page.click("text=Its report");
		want(/\/backups\/runs\/\d+$/.test(page.url()), where, "no report: " + page.url());
		want((await page.locator(".verdict .word").innerText()).trim().toLowerCase() === "complete", where, "not complete: " + (await page.locator(".verdict").innerText()));
		await look(page, where + " report", seen);
	}

	async function setup(page, site, seen, emr) {
		const folder = path.join(work, "office", "copy");
		await page.goto("/");
		await page.waitForURL("**/setup/owner");
		await look(page, "real /setup/owner", seen);
		const type = async () => {
			await page.fill("#code", site.code);
			await page.fill("#practice", "Elm Street Family Medicine");
			await page.fill("#display", "Dr. Maria Reyes");
			await page.fill("#name", site.name);
			await page.fill("#password", site.password);
			await page.fill("#again", site.password);
		};
		await type();
		await page.fill("#folder", "/srv/chartcellar");
		await page.evaluate(() => document.activeElement.blur());
		await shot(page, "setup-owner");
		await page.fill("#folder", folder);
		await page.click("text=Look at this folder");
		want((await page.content()).includes("are free there"), "real /setup/owner", "the room in the folder is not told");
		await type();
		await page.click("text=Make my account and the copy");
		await page.waitForURL("**/setup/sheet");
		await look(page, "real /setup/sheet", seen);
		await page.click("text=I cannot print");
		await page.waitForSelector("table.key");
		await look(page, "real /setup/sheet?show=yes", seen);
		const pdf = await page.request.get("/setup/sheet.pdf");
		want((await pdf.body()).subarray(0, 5).toString() === "%PDF-", "real /setup/sheet.pdf", "is no PDF");
		const letters = {};
		for (const row of await page.locator("table.key tbody tr").all()) letters[await row.locator("th").innerText()] = await row.locator("td").nth(1).innerText();
		if (shots) {
			await page.evaluate(() => document.querySelector("table.key").createCaption().append("EXAMPLE: the key of a copy that was thrown away"));
			await shot(page, "setup-sheet");
		}
		const lines = [];
		for (const row of await page.locator("table.key tbody tr").all()) {
			lines.push(`${await row.locator("th").innerText()}. ${await row.locator("td").nth(0).innerText()} [${await row.locator("td").nth(1).innerText()}]`);
		}
		for (const label of await page.locator("form[action='/setup/sheet'] label").all()) {
			const line = (await label.innerText()).match(/line (\d+)/)[1];
			await page.fill("#l" + line, letters[line]);
		}
		await page.click("text=I have it on paper");
		await page.waitForURL("**/setup/emr");
		await look(page, "real /setup/emr", seen);
		await page.fill("#base", emr.base);
		await page.fill("#client", "demo");
		await page.selectOption("#auth", "client-secret-basic");
		await page.fill("#secret", "demo-secret");
		await page.fill("#group", "all-patients");
		await page.click("summary:text-is('The EMR stands in this office')");
		await page.check("#local");
		await page.fill("#ca", emr.ca);
		await lastSteps(page, "real ", seen, shot, async () => {
			want((await page.locator("text=The connection works").count()) === 1, "real /setup/emr", "the test: " + (await page.locator(".tests").innerText()));
		});
		return lines;
	}

	// over waits until nothing runs.
	async function over(page) {
		await page.goto("/backups/progress");
		for (let i = 0; i < 600 && !(await page.locator("text=No run is under way").count()); i++) {
			await page.waitForTimeout(250);
			await page.goto("/backups/progress");
		}
	}

	// copies makes two second copies from the page.
	async function copies(page, seen) {
		await page.goto("/backups/copies");
		await look(page, "real /backups/copies without one", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "copies-none");
		for (const name of ["usb", "safe"]) {
			const folder = path.join(work, name + " disk");
			mkdirSync(folder);
			await page.setViewportSize({ width: 390, height: 844 });
			await page.goto("/backups/copies/new");
			await page.fill("#name1", name);
			await page.fill("#folder", path.join(work, "not there"));
			await page.click("button:text-is('Test it and set it up') >> nth=0");
			await page.waitForSelector("[role=alert]");
			await page.fill("#folder", folder);
			await page.click("button:text-is('Test it and set it up') >> nth=0");
			await page.waitForURL("**/backups/copies?done=place");
			await over(page);
			await page.goto("/backups/copies");
			await page.click(`section:has(h2:text-is('${name}')) button[value='now']`);
			await page.waitForURL("**/backups/copies?done=now");
			await over(page);
			await page.goto("/backups/copies");
			want(existsSync(path.join(folder, "READ-ME-FIRST.html")), "real copy to " + name, "it does not say how to open it");
			await page.click(`section:has(h2:text-is('${name}')) button[value='check']`);
			await page.waitForURL("**/backups/copies?done=check");
			await over(page);
		}
		await page.goto("/backups/copies");
		want((await page.locator(".mark:has-text('up to date')").count()) === 2, "real /backups/copies", "not both are up to date: " + (await page.locator("main").innerText()).slice(0, 900));
		await look(page, "real /backups/copies", seen);
	}

	// drill proves with the typed sheet that a copy comes back.
	async function drill(page, seen, lines) {
		await page.setViewportSize({ width: 390, height: 844 });
		await page.goto("/backups/drill");
		await look(page, "real /backups/drill before the first", seen);
		await page.selectOption("#name", "usb");
		const swapped = lines.map((l, i) => i === 1 ? l.replace(/^(\d+\. )(.)/, (_, n, c) => n + (c === "Q" ? "P" : "Q")) : l);
		await page.fill("#sheet", swapped.join("\n"));
		await page.click("text=Start the drill");
		await page.waitForSelector("#drillwrong [role=alert]");
		want((await page.locator("#drillwrong").innerText()).includes("Line 2 of the recovery key"), "real drill", "the wrong line is not named");
		want((await page.inputValue("#sheet")) === swapped.join("\n"), "real drill", "what was typed is gone");
		await page.fill("#sheet", lines.join("\n"));
		await page.click("text=Start the drill");
		await page.waitForURL("**/backups/drill?done=drill");
		await over(page);
		await page.goto("/backups/drill");
		want((await page.locator(".verdict .word").innerText()).trim().toLowerCase() === "passed", "real drill", "not passed: " + (await page.locator("main").innerText()).slice(0, 900));
		await look(page, "real /backups/drill passed", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "drill-passed");
		await page.click("text=The report, to print and sign");
		want((await page.content()).includes("Signed off"), "real drill", "nobody signs the report off");
		await look(page, "real report of the drill", seen);
		await page.goto("/");
		const facts = await page.locator(".facts li").allInnerTexts();
		for (const f of facts.filter((t) => /second copy is current|restore was tried/.test(t))) want(/yes/.test(f), "real Home after the drill", f);
	}

	async function realWizard() {
		const home = path.join(work, "office"), stops = [];
		let c;
		try {
			const emr = await start(bin, path.join(work, "emr"), ["fakeemr", "--patients", "250"], [/FHIR base +(\S+)/, /CA file +(\S+)/, /Stop with/]);
			stops.push(emr.stop);
			const office = await start(bin, home, ["serve", "--listen", "127.0.0.1:0"], [/Open (http:\S+)\/ /, /Setup code: (\S+)/]);
			stops.push(office.stop);
			const site = { url: office.found[0], code: office.found[1], name: "reyes", password: "four words that never meet" };
			c = await context(site);
			const page = await c.newPage(), seen = watch(page, site.url);
			const lines = await setup(page, site, seen, { base: emr.found[0], ca: readFileSync(path.join(work, "emr", emr.found[1]), "utf8") });
			await page.waitForSelector("#progress p", { timeout: 20000 }).catch(async () => { want(false, "real first backup", "no progress: " + (await page.locator("main").innerText()).slice(0, 600)); });
			const numbers = [];
			page.on("response", async (r) => { if (r.url().endsWith("/backups/progress") && r.ok()) numbers.push(await r.text().catch(() => "")); });
			if (shots) await page.waitForFunction(() => /\d,\d{3}/.test(document.querySelector("#progress")?.textContent), null, { timeout: 8000 }).catch(() => {});
			await shot(page, "first-backup", { fullPage: false });
			await page.waitForSelector("#progress", { state: "detached", timeout: 240000 }).catch(() => want(false, "real first backup", "its progress does not end"));
			want(new Set(numbers.filter((n) => n.includes("began"))).size >= 1, "real first backup", "no live progress: " + numbers.length + " answers");
			await finish(page, "real first backup", seen);
			await sameCounts(page, "real Home after the first backup", status(home));
			await look(page, "real Home after the first backup", seen);
			want((await page.goto("/setup/owner")).status() === 404, "real setup", "is still there");
			await copies(page, seen);
			await drill(page, seen, lines);
		} finally {
			if (c) await c.close();
			for (const stop of stops.reverse()) await stop();
		}
	}

	const plain = ["/backups/runs", "/backups/coverage", "/backups/changes", "/backups/gaps", "/backups/held", "/backups/storage", "/backups/copies", "/backups/copies/new", "/backups/drill", "/backups/holdings", "/reports",
		"/settings", "/settings/accounts", "/log"];

	async function realDemo() {
		const home = path.join(work, "demo");
		const demo = await start(bin, home, ["demo", "--keep"], [/The pages: (http:\S+)\//, /CHARTCELLAR_CONFIG=(\S+)/, /with the password (\S+) /]);
		const site = { url: demo.found[0], name: "demo", password: demo.found[2] };
		let c;
		try {
			c = await context(site);
			const page = await c.newPage(), seen = watch(page, site.url);
			await page.goto("/sign-in");
			await shot(page, "sign-in", { fullPage: false });
			await signIn(page, site);
			await sameCounts(page, "demo /", status(home, demo.found[1]));
			await look(page, "demo /", seen);
			await page.goto("/backups");
			await look(page, "demo /backups", seen);
			const run = await page.locator("table a:text-matches('^Run ')").last().getAttribute("href");
			for (const p of [...plain, run]) {
				const r = await page.goto(p);
				want(r.status() === 200, "demo " + p, "status " + r.status());
				await look(page, "demo " + p, seen);
			}
			await page.goto("/reports");
			await page.click("main ul.links a >> nth=0");
			await look(page, "demo month", seen);
			await pictures(page, run);
			await fullest(page);
			await walk({ page, seen, look, want, name: "demo chart" });
			await changeSchedule(page, seen);
			await pause(page, seen);
			await runNow(page, seen);
			await sameCounts(page, "demo / after a run", status(home, demo.found[1]));
			await doors(page, site, seen);
		} finally {
			if (c) await c.close();
			await demo.stop();
		}
	}

	async function changeSchedule(page, seen) {
		await page.goto("/backups/schedule");
		await look(page, "demo /backups/schedule", seen);
		await page.fill("#pull0", "daily 03:00, 12:30");
		await page.click("text=What would that mean?");
		want((await page.locator("text=Nothing was changed yet").count()) === 1, "demo schedule", "no preview");
		want((await page.inputValue("#pull0")) === "daily 03:00, 12:30", "demo schedule", "the preview forgets what was typed");
		await look(page, "demo schedule preview", seen);
		await page.setViewportSize({ width: 1100, height: 1000 });
		await shot(page, "schedule");
		await page.click("button:text-is('Save')");
		await page.waitForURL("**/backups/schedule?done=schedule");
		want((await page.inputValue("#pull0")) === "daily 03:00, 12:30", "demo schedule", "was not kept");
	}

	async function pause(page, seen) {
		await page.goto("/backups");
		await page.click("summary:text-is('Pause the schedule')");
		await page.fill("#why", "The vendor moves its servers");
		await page.click("button:text-is('Pause')");
		await page.waitForURL("**/backups?done=*");
		want((await page.locator("text=Paused until").count()) >= 1, "demo pause", "is not told");
		await look(page, "demo paused", seen);
		await page.goto("/backups");
		await page.click("text=End the pause now");
		await page.waitForURL("**/backups?done=*");
		want((await page.locator("text=Paused until").count()) === 0, "demo pause", "does not end at once");
	}

	async function runNow(page, seen) {
		await page.goto("/backups");
		await page.click("text=Compare everything now");
		await page.waitForURL("**/backups?done=run");
		await look(page, "demo /backups after Run now", seen);
		await finish(page, "demo run", seen);
	}

	async function doors(page, site, seen) {
		await page.goto("/settings/password");
		await look(page, "demo /settings/password", seen);
		const fresh = "another four words together";
		await page.fill("#old", site.password);
		await page.fill("#new", fresh);
		await page.fill("#again", fresh);
		await page.click("text=Change my password");
		await page.waitForURL((u) => u.search.includes("done="));
		await lock(page, "demo ", seen);
		await page.fill("#password", site.password);
		await page.keyboard.press("Enter");
		await page.waitForSelector("[role=alert]");
		await unlockAndLeave(page, "demo ", { ...site, password: fresh });
		await signIn(page, { ...site, password: fresh });
	}

	async function pictures(page, run) {
		if (!shots) return;
		await page.setViewportSize({ width: 1200, height: 900 });
		await page.goto("/patients");
		await shot(page, "patients", { fullPage: false });
		await fullest(page);
		await shot(page, "chart", { fullPage: false });
		await page.setViewportSize({ width: 1100, height: 1000 });
		for (const [name, p] of [["home", "/"], ["backups", "/backups"], ["run", run]]) {
			await page.goto(p);
			await shot(page, name, { fullPage: name === "backups" });
			if (name !== "backups") await page.pdf({ path: path.join(shots, name + ".pdf"), format: "A4" });
		}
		await page.setViewportSize({ width: 390, height: 844 });
		await page.goto("/");
		await shot(page, "home-phone", { fullPage: false });
		await page.setViewportSize({ width: 1200, height: 900 });
	}

	return { realWizard, realDemo };
}
