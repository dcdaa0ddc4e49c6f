// Opens each page in a real browser and looks at it as a person would: no error, no
// broken rule of the content policy, nothing from elsewhere, no fault that axe knows
// (light, dark, telephone), no sideways scroll, keyboard, no JavaScript, print.
//
//   npm ci && node run.mjs [--shots FOLDER] [--only STEP,STEP]
//
// It builds the program and goes through its setup and its demo (real.mjs), and the test
// binary of the pages, which serves invented practices in states that take years.
import { chromium } from "playwright-core";
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { charts } from "./charts.mjs";
import { privacy } from "./privacy.mjs";
import { real } from "./real.mjs";

const here = import.meta.dirname;
const root = path.resolve(here, "../..");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.argv.includes("--shots") ? process.argv[process.argv.indexOf("--shots") + 1] : "";
const work = mkdtempSync(path.join(tmpdir(), "pages-"));
const problems = [];
const say = (where, what) => { problems.push(where + ": " + what); console.log("WRONG  " + where + ": " + what); };
const want = (ok, where, what) => { if (!ok) say(where, what); };

function findChromium() {
	for (const p of [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]) {
		if (p && existsSync(p)) return p;
	}
	throw new Error("no Chromium found: apt-get install chromium, or set CHROMIUM");
}

async function serve() {
	const bin = path.join(work, "viewer.test");
	execFileSync("go", ["build", "-o", path.join(work, "chartcellar"), "./cmd/chartcellar"], { cwd: root, stdio: "inherit" });
	execFileSync("go", ["test", "-c", "-o", bin, "./cmd/chartcellar/internal/viewer"], { cwd: root, stdio: "inherit" });
	const child = spawn(bin, ["-test.run", "^TestBrowserServer$", "-test.timeout", "20m", "-browser"], { cwd: work, stdio: ["pipe", "pipe", "inherit"] });
	const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
	const answer = async (word) => {
		for (;;) {
			const { value, done } = await lines.next();
			if (done) throw new Error("the server has ended");
			if (value.startsWith(word)) return value.slice(word.length);
		}
	};
	const sites = JSON.parse(await answer("SERVING "));
	const pass = async (time) => { child.stdin.write("pass " + time + "\n"); await answer("PASSED"); };
	return { child, sites, pass };
}

const { child, sites, pass } = await serve();
const launched = await chromium.launch({
	executablePath: findChromium(),
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync"],
});

// watch notes what no page may do.
function watch(page, origin) {
	const seen = [];
	page.on("console", (m) => { if (m.type() === "error" && !/status of 4\d\d/.test(m.text())) seen.push("console: " + m.text()); });
	page.on("response", (r) => { if (r.status() >= 500) seen.push(r.status() + " from " + r.request().method() + " " + r.url().slice(origin.length)); });
	page.on("pageerror", (e) => seen.push("script: " + e.message));
	page.on("request", (r) => { if (!r.url().startsWith(origin + "/") && !r.url().startsWith("data:")) seen.push("asked elsewhere: " + r.url()); });
	return seen;
}

async function context(site, options = {}) {
	const c = await launched.newContext({ baseURL: site.url, viewport: { width: 1200, height: 900 }, locale: "en-US", ...options });
	c.setDefaultTimeout(120000); // a loaded computer is slow
	await c.addInitScript(() => {
		window.policy = [];
		document.addEventListener("securitypolicyviolation", (e) => window.policy.push(e.violatedDirective + " " + e.blockedURI));
	});
	return c;
}

async function signIn(page, site) {
	await page.goto("/sign-in");
	await page.fill("#name", site.name);
	await page.fill("#password", site.password);
	await page.click("main button");
	await page.waitForURL(site.url + "/");
}

// lock locks the page of the gaps, and shows that a locked page does not open.
async function lock(page, where, seen) {
	await page.goto("/backups/gaps");
	await page.click("form[action='/lock'] button");
	await page.waitForURL("**/lock?next=*");
	await look(page, where + "/lock", seen);
	await page.goto("/backups");
	want(page.url().includes("/lock?next=%2Fbackups"), where + "lock", "a locked page opens: " + page.url());
}

// unlockAndLeave opens it again, signs out, and shows that Back does not show it.
async function unlockAndLeave(page, where, site) {
	await page.fill("#password", site.password);
	await page.keyboard.press("Enter");
	await page.waitForURL(site.url + "/backups");
	await page.click("form[action='/sign-out'] button");
	await page.waitForURL("**/sign-in*");
	await page.goBack().catch(() => {});
	await page.waitForTimeout(300);
	want(!(await page.content()).includes("Back up now"), where + "sign-out", "the button Back shows the page again");
}

// lastSteps goes through the setup from the EMR that is typed to the first backup.
async function lastSteps(page, where, seen, shot, tested = async () => {}) {
	await page.click("text=Save and test");
	await page.waitForSelector(".tests");
	await tested();
	await look(page, where + "/setup/emr tested", seen);
	await shot(page, "setup-emr");
	await page.click("a.button:text-is('Go on')");
	await page.waitForURL("**/setup/schedule");
	await look(page, where + "/setup/schedule", seen);
	await shot(page, "setup-schedule");
	await page.click("text=Keep this schedule");
	await page.waitForURL("**/setup/alerts");
	await look(page, where + "/setup/alerts", seen);
	await page.click("text=Later");
	await page.waitForURL("**/setup/finish");
	await look(page, where + "/setup/finish", seen);
	await shot(page, "setup-finish");
	await page.click("text=Start the first backup");
	await page.waitForURL("**/backups?done=setup");
}

const sideways = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;

async function runAxe(page, where, rules) {
	// Not a script element: the policy of the page would refuse it.
	if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(axe);
	const r = await page.evaluate((rules) => window.axe.run(document, { resultTypes: ["violations"], ...(rules && { runOnly: rules }) }), rules);
	for (const v of r.violations) say(where, `axe ${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")}`);
}

// look holds a page that is open against the rules that are the same for all.
async function look(page, where, seen) {
	want((await page.title()) !== "", where, "no title");
	want((await page.locator("h1").count()) === 1, where, "not one h1");
	await page.emulateMedia({ colorScheme: "light" });
	await runAxe(page, where + " light");
	await page.emulateMedia({ colorScheme: "dark" });
	await runAxe(page, where + " dark", ["color-contrast", "link-in-text-block"]); // what colours can change
	await page.emulateMedia({ colorScheme: "light" });
	for (const width of [390, 320]) {
		await page.setViewportSize({ width, height: 844 });
		const over = await page.evaluate(sideways);
		want(over <= 0, where, `scrolls sideways by ${over} px at ${width} px`);
		if (width === 390) await runAxe(page, where + " 390 px");
	}
	await page.setViewportSize({ width: 1200, height: 900 });
	const policy = await page.evaluate(() => window.policy);
	want(policy.length === 0, where, "content policy: " + policy.join(", "));
	for (const s of seen.splice(0)) say(where, s);
}

const shotIn = (folder) => async (page, name, options = {}) => {
	if (!shots) return;
	mkdirSync(folder, { recursive: true });
	await page.screenshot({ path: path.join(folder, name + ".png"), fullPage: true, ...options });
};
const shot = shotIn(path.join(shots, "double"));

// reach tells whether the keyboard comes to an element within so many steps.
async function reach(page, selector, steps = 60) {
	await page.evaluate(() => document.activeElement && document.activeElement.blur());
	for (let i = 0; i < steps; i++) {
		await page.keyboard.press("Tab");
		if (await page.evaluate((s) => document.activeElement.matches(s), selector)) return true;
	}
	return false;
}

const pages = ["/", "/backups", "/backups/progress", "/backups/runs", "/backups/runs/412", "/backups/schedule", "/backups/gaps", "/backups/held",
	"/backups/copies", "/backups/copies/new", "/backups/drill", "/backups/holdings", "/backups/runs/390", "/backups/changes", "/backups/coverage", "/backups/storage", "/reports", "/reports/2026-11", "/settings", "/settings/password",
	"/settings/accounts", "/log", "/confirm", "/nowhere", "/search", "/search/notes", "/search/codes", "/search/cohort"];

async function practicePages() {
	for (const [name, site] of [["practice", sites.practice], ["empty", sites.empty]]) {
		const c = await context(site);
		const page = await c.newPage();
		const seen = watch(page, site.url);
		await page.goto("/sign-in");
		await look(page, name + " /sign-in", seen);
		if (name === "practice") await shot(page, "sign-in", { fullPage: false });
		await signIn(page, site);
		for (const p of pages) {
			const r = await page.goto(p);
			const expected = p === "/nowhere" || name === "empty" && ["/backups/runs/412", "/backups/runs/390", "/reports/2026-11", "/search/notes", "/search/codes", "/search/cohort"].includes(p) ? 404 : 200;
			want(r.status() === expected, name + " " + p, "status " + r.status());
			await look(page, name + " " + p, seen);
			const bytes = (await r.body()).length;
			want(bytes <= 60 * 1024, name + " " + p, bytes + " bytes of HTML");
		}
		await c.close();
	}
}

async function keyboard() {
	const site = sites.practice, c = await context(site), page = await c.newPage();
	await page.goto("/sign-in");
	await page.keyboard.press("Tab");
	want(await page.evaluate(() => document.activeElement.className === "skip"), "keyboard", "the skip link is not the first stop");
	want(await reach(page, "#name"), "keyboard", "the name cannot be reached");
	await page.keyboard.type(site.name);
	await page.keyboard.press("Tab");
	await page.keyboard.type(site.password);
	await page.keyboard.press("Enter");
	await page.waitForURL(site.url + "/");
	want(await reach(page, "form[action='/backups/run'] button"), "keyboard /", "Back up now cannot be reached");
	want(await reach(page, "form[action='/lock'] button"), "keyboard /", "Lock cannot be reached");
	await page.goto("/backups");
	for (const s of ["form[action='/backups/run'] button", "form[action='/backups/verify'] button", "a[href='/backups/schedule']"]) {
		want(await reach(page, s), "keyboard /backups", s + " cannot be reached");
	}
	const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
	want(outline === "solid", "keyboard /backups", "the focus is not to be seen");
	await page.keyboard.press("Enter");
	await page.waitForURL(site.url + "/backups/schedule");
	await c.close();
}

async function aRun() {
	const site = sites.practice, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
	await signIn(page, site);
	await page.goto("/backups");
	await page.click("form[action='/backups/run'] button >> nth=0");
	await page.waitForURL("**/backups?done=run");
	await page.waitForSelector("#progress p");
	const polled = await page.waitForResponse((r) => r.url().endsWith("/backups/progress") && r.status() === 200, { timeout: 30000 });
	want(!(await polled.text()).includes("<html"), "progress", "the part is a whole page");
	await look(page, "/backups while a run goes on", seen);
	await shot(page, "backups-running");
	// Somebody else ends the run while the button is answered; the part that is polled says so.
	const other = await c.newPage();
	await other.goto("/backups");
	await page.route("**/backups/stop", async (route) => {
		const ended = page.waitForResponse((r) => r.headers()["hx-refresh"] === "true", { timeout: 30000 }).catch(() => say("progress", "does not say that the run has ended"));
		await other.click("form[action='/backups/stop'] button");
		await ended;
		await page.waitForTimeout(500);
		await route.continue();
	});
	await page.click("form[action='/backups/stop'] button", { noWaitAfter: true });
	await page.waitForURL("**/backups?done=stop", { timeout: 60000 });
	await other.close();
	want((await page.locator("#progress").count()) === 0, "progress", "is still shown after the end");
	// The warning before the lock, by the browser's own clock.
	await page.clock.install();
	await page.goto("/settings");
	await pass("8m5s");
	await page.clock.fastForward("08:05");
	await page.waitForSelector("#idle:not([hidden])", { timeout: 30000 }).catch(() => say("idle", "no warning before the lock"));
	want(await page.evaluate(() => document.activeElement.id === "stay"), "idle", "the keyboard is not at the button");
	await runAxe(page, "idle warning");
	await page.keyboard.press("Enter");
	await page.waitForSelector("#idle", { state: "hidden", timeout: 30000 }).catch(() => say("idle", "the warning stays"));
	await pass("10m5s");
	await page.clock.fastForward("10:05");
	await page.waitForURL("**/lock?next=%2Fsettings", { timeout: 30000 }).catch(() => say("idle", "does not lock; at " + page.url()));
	await c.close();
}

// copies goes through the forms of the second copies and the drill, with the keyboard and
// by a telephone.
async function copies() {
	const site = sites.practice, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
	await signIn(page, site);
	await page.goto("/backups/copies");
	for (const s of ["button[value='now']", "button[value='check']", "button[value='test']", "form[action='/backups/copies/out'] button", "summary", "a[href='/backups/copies/new']"]) {
		want(await reach(page, s), "keyboard /backups/copies", s + " cannot be reached");
	}
	await page.click("summary:has-text('Answer')");
	await look(page, "/backups/copies with the questions", seen);
	await page.check("#mine1");
	await page.fill("#deletes1", "nobody");
	await page.click("text=Keep the answers");
	await page.waitForURL("**/backups/copies?done=answers");
	await page.click("section:has(h2:text-is('usb')) form[action='/backups/copies/out'] button");
	want((await page.content()).includes("it can be taken out now"), "/backups/copies", "not told whether the disk can be taken out");
	await look(page, "/backups/copies of a disk to be taken out", seen);
	await page.setViewportSize({ width: 390, height: 844 });
	await page.goto("/backups/copies/new");
	await page.click("summary:has-text('SFTP')");
	await page.fill("#name2", "nas");
	await page.fill("#sftp", "backup@nas.example:22/elm");
	await page.click("text=Ask the server who it is");
	await page.waitForSelector("#same");
	await look(page, "/backups/copies/new of a server", seen);
	await page.fill("#secret", "wrong");
	await page.check("#same");
	await page.click("text=Test it and set it up");
	await page.waitForSelector("[role=alert]");
	want((await page.inputValue("#secret")) === "", "/backups/copies/new", "a password is sent back");
	await page.check("#same");
	await page.click("text=Test it and set it up");
	await page.waitForURL("**/backups/copies?done=place");
	await page.goto("/backups/drill");
	want(await reach(page, "#sheet"), "keyboard /backups/drill", "the lines of the key cannot be reached");
	await page.keyboard.type("2. WRONG LINE [AB]");
	await page.keyboard.press("Tab");
	await page.keyboard.press("Enter");
	await page.waitForSelector("#drillwrong [role=alert]");
	want((await page.inputValue("#sheet")) === "2. WRONG LINE [AB]", "/backups/drill", "what was typed is gone when a line is wrong");
	await look(page, "/backups/drill with a wrong line", seen);
	await page.fill("#sheet", "GOOD");
	await page.click("text=Start the drill");
	await page.waitForURL("**/backups/drill?done=drill");
	await c.close();
	const plain = await context(site, { javaScriptEnabled: false, viewport: { width: 390, height: 844 } }), still = await plain.newPage();
	await signIn(still, site);
	await still.goto("/backups/drill");
	await still.selectOption("#name", "cloud");
	await still.fill("#sheet", "2. WRONG LINE [AB]");
	await still.click("text=Start the drill");
	want((await still.content()).includes("Line 2 of the recovery key"), "drill without JavaScript", "a wrong line is not told");
	want((await still.inputValue("#name")) === "cloud" && (await still.inputValue("#sheet")) === "", "drill without JavaScript", "the copy is forgotten, or the key is sent back");
	await still.fill("#sheet", "GOOD");
	await still.click("text=Start the drill");
	await still.waitForURL("**/backups/drill?done=drill");
	await still.goto("/backups/copies");
	await still.click("section:has(h2:text-is('usb')) button[value='now']");
	await still.waitForURL("**/backups/copies?done=now");
	await plain.close();
}

async function lockAndBack() {
	const site = sites.practice, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
	await signIn(page, site);
	await lock(page, "", seen);
	await unlockAndLeave(page, "", site);
	await c.close();
}

async function noScript() {
	const site = sites.practice, c = await context(site, { javaScriptEnabled: false }), page = await c.newPage();
	await signIn(page, site);
	await page.goto("/backups");
	await page.click("form[action='/backups/run'] button >> nth=0");
	await page.waitForURL("**/backups?done=run");
	await page.click("text=Watch how far it is");
	want((await page.content()).includes("12,400 of 48,210"), "without JavaScript", "no progress");
	await page.goto("/backups");
	await page.click("form[action='/backups/stop'] button");
	await page.goto("/backups/schedule");
	await page.fill("#pull0", "nonsense");
	await page.click("text=What would that mean?");
	want((await page.content()).includes("is no time"), "without JavaScript", "no answer to a wrong schedule");
	await page.fill("#pull0", "daily 03:00");
	await page.click("button:text-is('Save')");
	await page.waitForURL("**/backups/schedule?done=schedule");
	await page.click("form[action='/sign-out'] button");
	await page.waitForURL("**/sign-in*");
	await c.close();
}

async function wizard() {
	const site = sites.new, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
	await page.goto("/");
	await page.waitForURL("**/setup/owner");
	await look(page, "/setup/owner", seen);
	await shot(page, "setup-owner");
	await page.fill("#code", "WRONG-WRONG-WRONG-WRONG");
	await page.fill("#practice", "Elm Street Family Medicine");
	await page.fill("#display", "Dr. Maria Reyes");
	await page.fill("#name", site.name);
	const passwords = async () => { await page.fill("#password", site.password); await page.fill("#again", site.password); };
	await passwords();
	await page.click("text=Make my account");
	want((await page.content()).includes("setup code is wrong"), "wizard", "a wrong code is not refused");
	await look(page, "/setup/owner refused", seen);
	await page.fill("#code", site.code.toLowerCase());
	await passwords();
	await page.click("text=Make my account");
	await page.waitForURL("**/setup/sheet");
	await look(page, "/setup/sheet", seen);
	await shot(page, "setup-sheet");
	await page.goto("/setup/finish");
	want(page.url().endsWith("/setup/sheet"), "wizard", "the sheet can be passed by");
	await page.fill("#l2", "XX");
	await page.fill("#l4", "XX");
	await page.click("text=I have it on paper");
	want((await page.content()).includes("does not match"), "wizard", "wrong letters are not refused");
	await page.fill("#l2", "CD");
	await page.fill("#l4", "EF");
	await page.click("text=I have it on paper");
	await page.waitForURL("**/setup/emr");
	await look(page, "/setup/emr", seen);
	await page.fill("#base", "https://emr.example/fhir");
	await lastSteps(page, "", seen, shot);
	const r = await page.goto("/setup/owner");
	want(r.status() === 404, "wizard", "setup is still there");
	await c.close();
}

async function print() {
	const site = sites.practice, c = await context(site), page = await c.newPage();
	await signIn(page, site);
	for (const p of ["/", "/backups/runs/412", "/backups/runs/390", "/reports/2026-11"]) {
		await page.goto(p);
		const file = path.join(work, "pages.pdf");
		await page.pdf({ path: file, format: "A4" });
		const text = execFileSync("pdftotext", ["-layout", file, "-"]).toString();
		want(text.includes("Elm Street Family Medicine"), "print " + p, "the practice is not on it");
		want(!text.includes("Sign out") && !text.includes("Back up now"), "print " + p, "buttons are printed");
		if (p === "/backups/runs/412") want(text.includes("Observation") && text.includes("2,800"), "print " + p, "the table is cut");
	}
	await c.close();
}

async function screens() {
	if (!shots) return;
	const site = sites.practice, c = await context(site, { viewport: { width: 1100, height: 800 } }), page = await c.newPage();
	await signIn(page, site);
	for (const [name, p] of [["home", "/"], ["backups", "/backups"], ["run", "/backups/runs/412"], ["held", "/backups/held"], ["month", "/reports/2026-11"], ["settings", "/settings"], ["log", "/log"], ["schedule", "/backups/schedule"], ["coverage", "/backups/coverage"]]) {
		await page.goto(p);
		await shot(page, name);
	}
	const top = shotIn(shots);
	for (const [name, p] of [["copies", "/backups/copies"], ["drill-overdue", "/backups/drill"]]) {
		await page.goto(p);
		await top(page, name);
	}
	await page.goto("/backups/copies/new");
	await shot(page, "copies-new");
	await page.goto("/backups/runs/390");
	await shot(page, "run-drill");
	await page.goto("/backups/holdings");
	await page.click("text=Find files");
	await page.waitForSelector("text=2 of 2");
	await look(page, "/backups/holdings with what was found", []);
	await page.setViewportSize({ width: 1100, height: 800 });
	await shot(page, "holdings");
	await page.emulateMedia({ colorScheme: "dark" });
	await page.goto("/");
	await shot(page, "home-dark");
	await page.emulateMedia({ colorScheme: "light" });
	await page.setViewportSize({ width: 390, height: 844 });
	for (const [name, p] of [["home-phone", "/"], ["backups-phone", "/backups"], ["run-phone", "/backups/runs/412"], ["copies-phone", "/backups/copies"], ["drill-phone", "/backups/drill"]]) { await page.goto(p); await shot(page, name); }
	const e = await context(sites.empty, { viewport: { width: 1100, height: 800 } }), blank = await e.newPage();
	await signIn(blank, sites.empty);
	await shot(blank, "home-empty");
	await e.close();
	await c.close();
}

const { realWizard, realDemo } = real({ root, work, shots, context, watch, look, shot: shotIn(shots), want, signIn, lock, unlockAndLeave, lastSteps });
const { awkward, practice117 } = charts({ root, work, shots, context, watch, look, shot: shotIn(shots), want, signIn, reach });
const { emergencies, whoSaw, hiding } = privacy({ sites, context, watch, look, shot, want, signIn, reach });
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1].split(",") : [];
// Two go on at once, for one page keeps one core busy. What shares a server stays in line.
const lines = [{ awkward }, { wizard, practicePages, keyboard, emergencies, whoSaw, hiding, aRun, copies, lockAndBack, noScript, print, screens }, { realDemo }, { practice117 }, { realWizard }];

async function worker() {
	for (let line; (line = lines.shift());) {
		for (const [name, step] of Object.entries(line)) {
			if (only.length && !only.includes(name)) continue;
			const t = Date.now();
			try { await step(); } catch (e) { say(name, e.message.split("\n").slice(0, 4).join(" | ")); }
			console.log(`${name}: ${((Date.now() - t) / 1000).toFixed(1)} s`);
		}
	}
}

try {
	await Promise.all([worker(), worker()]);
} finally {
	await launched.close();
	child.stdin.end();
	await new Promise((done) => child.on("exit", done));
	rmSync(work, { recursive: true, force: true });
}
console.log(problems.length ? `${problems.length} things are wrong` : "all pages are good");
process.exit(problems.length ? 1 : 0);
