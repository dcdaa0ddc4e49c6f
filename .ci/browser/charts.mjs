// The chart of a patient in a real browser, of the program itself: a practice of awkward
// and hostile records, and, where it lies beside the checkout, a larger invented one.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { day, write } from "./awkward.mjs";
import { giving } from "./give.mjs";
import { labs } from "./labs.mjs";
import { documents } from "./documents.mjs";
import { start, surroundings } from "./real.mjs";
import { fullest, walk } from "./walk.mjs";
import { records } from "./records.mjs";
import { searching } from "./search.mjs";

export function charts({ root, work, shots, context, watch, look, shot, want, signIn, reach }) {
	const bin = path.join(work, "chartcellar");

	// demo serves the pages of a practice and calls fn with a browser that is signed in.
	async function demo(name, data, fn) {
		const home = path.join(work, name);
		const running = await start(bin, home, ["demo", "--keep", "--data", data], [/The pages: (http:\S+)\//, /CHARTCELLAR_CONFIG=(\S+)/, /with the password (\S+) /]);
		const site = { url: running.found[0], name: "demo", password: running.found[2] };
		let c;
		try {
			c = await context(site);
			const page = await c.newPage(), seen = watch(page, site.url);
			await signIn(page, site);
			await fn({ page, seen, site, home, settings: running.found[1] });
			want((await page.evaluate(() => window.pwned)) === undefined, name, "a foreign script ran");
		} finally {
			if (c) await c.close();
			await running.stop();
		}
	}

	// noSwipe shows a page as a telephone does: nothing in it may have to be pushed aside.
	async function noSwipe(page, where) {
		await page.setViewportSize({ width: 390, height: 844 });
		const wide = await page.locator(".scroll").evaluateAll((list) => list.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.getAttribute("aria-label")));
		want(wide.length === 0, where, "needs a swipe on a telephone: " + wide.join(", "));
		await page.setViewportSize({ width: 1200, height: 900 });
	}

	// find types a search for a patient and returns the names that the list shows.
	async function find(page, text) {
		await page.goto("/patients");
		await page.fill("#text", text);
		await page.press("#text", "Enter");
		await page.waitForURL("**/patients?q=*");
		return page.locator("table.people tbody th").allInnerTexts();
	}

	// open opens the chart of the first patient that a search finds.
	async function open(page, text) {
		await find(page, text);
		await page.click("table.people tbody th a >> nth=0");
		await page.waitForURL("**/chart/*");
		return page.url();
	}

	const text = (page) => page.locator("main").innerText();

	async function people({ page, seen }) {
		await page.goto("/patients");
		await look(page, "charts /patients", seen);
		await noSwipe(page, "charts /patients");
		await page.setViewportSize({ width: 390, height: 844 });
		want(await page.locator("table.people td:text-is('MRN-1001')").isVisible(), "charts /patients", "a telephone does not show the record number");
		await page.setViewportSize({ width: 1100, height: 800 });
		await page.goto("/patients");
		for (const [typed, hits] of [["müller", 2], ["MULLER OTZ", 2], ["  anna   lou ", 2], ["obrien", 1], ["O'Brien", 1], ["1950", 2], ["1950-03", 2], ["4711", 1], ["MRN-1001", 1], ["g", 2],
			["ليلى", 1], ["王小明", 1], ["zzz", 0], ["<script>", 1]]) {
			const names = await find(page, typed);
			want(names.length === hits, "charts find " + typed, `${names.length} patients, not ${hits}: ${names.join(" / ")}`);
			want(!decodeURIComponent(page.url()).includes(typed.trim()) || typed.length < 3, "charts find " + typed, "what was typed stands in the address");
		}
		want((await text(page)).includes("<script>"), "charts find", "a hostile name is not shown as text");
		await find(page, "zzz");
		want((await text(page)).includes("Nobody fits: 0 of 12 patients"), "charts find", "nobody is not said in words");
		await look(page, "charts /patients nobody", seen);
		// By the keyboard alone: "/", what is looked for, down to the third hit, open.
		await page.goto("/backups");
		await page.keyboard.press("/");
		await page.waitForURL("**/patients");
		await page.keyboard.type("n");
		await page.waitForSelector(".hintlist a >> nth=2");
		await look(page, "charts hints", seen);
		const third = await page.locator(".hintlist a >> nth=2").getAttribute("href");
		await page.focus("#text");
		for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowDown");
		await page.keyboard.press("Enter");
		await page.waitForURL("**" + third);
		await page.goto("/patients");
		want((await page.locator("ul.recent li").count()) === 1, "charts recent", "the patient opened last is not listed");
		await page.click("text=Clear this list");
		want((await page.locator("ul.recent li").count()) === 0, "charts recent", "the list cannot be cleared");
		await page.keyboard.press("Escape");
		await page.evaluate(() => document.activeElement.blur());
		await page.keyboard.press("g");
		await page.keyboard.press("b");
		await page.waitForURL("**/backups");
	}

	// oddPatients are what a banner must say, or must not, of patients that are odd.
	async function oddPatients({ page, seen }) {
		for (const [who, said, unsaid] of [["Newborn", ["3 days"], []], ["Nodate", ["birth date not given"], [" y)"]], ["Gone", ["DIED 2024-02-29", "92 y at death"], []], ["王", ["1975"], []],
			["ليلى", ["الحسن", "ارتفاع ضغط الدم"], []], ["<script>", ["<script>window.pwned=1</script>", "{{.}}"], []], ["Müller", ["Penicillin (HIGH RISK)", "O’Brien", "There are two patient records of this name and birth date"], ["Entered by mistake", "window.pwned"]]]) {
			await open(page, who);
			const all = await text(page);
			for (const s of said) want(all.includes(s), "charts of " + who, "does not say " + s);
			for (const s of unsaid) want(!all.includes(s), "charts of " + who, "says " + s);
			want(!(await page.title()).includes(who), "charts of " + who, "the name stands in the title");
			await look(page, "charts of " + who, seen);
			await noSwipe(page, "charts of " + who);
		}
		await page.goto("/patients");
		await page.click("text=(no name in the record)");
		const all = await text(page);
		want(all.includes("None recorded in the copy") && !/\b(male|female|Penicillin|active)\b/.test(all), "charts of nobody", "something is invented: " + all);
		await look(page, "charts of nobody", seen);
	}

	// counted holds the counts of a heavy chart against those of the command.
	async function counted({ page, seen, home, settings }) {
		const address = await open(page, "Heavy");
		await look(page, "charts of Heavy", seen);
		const chart = JSON.parse(execFileSync(bin, ["chart", "heavy", "--json", "--config", settings, "--sheet", path.join(path.dirname(settings), "recovery-sheet.txt")], { env: surroundings(home), maxBuffer: 1 << 28 }));
		const shown = await page.locator(".tabs .count").allInnerTexts();
		const sum = shown.reduce((n, s) => n + Number(s.replaceAll(",", "")), 0);
		want(sum + 1 === chart.records && chart.records === 5001, "charts counts", `${sum + 1} on the tabs, ${chart.records} by the command`);
		want((await text(page)).includes("Every record is counted above: 5,001 of 5,001."), "charts counts", "the sum is not told");
		return address;
	}

	async function noScript({ site, home }) {
		const c = await context(site, { javaScriptEnabled: false, viewport: { width: 390, height: 844 } }), page = await c.newPage();
		await signIn(page, site);
		await page.goto("/patients");
		await page.fill("#text", "muller");
		await page.click("text=Find");
		await page.click("table.people tbody th a >> nth=0");
		want((await text(page)).includes("Penicillin"), "charts without JavaScript", "no chart");
		await page.fill("#asof", day(0));
		await page.click(".asof button");
		want(page.url().includes("asof=") && (await text(page)).includes("As of "), "charts without JavaScript", "no day can be chosen");
		want(!(await page.locator(".tabs a:has-text('Problems')").isVisible()), "charts without JavaScript", "the pages of the chart take the whole screen of a telephone");
		await page.check(".tabs .fold input");
		await page.click(".tabs a:has-text('Problems')");
		want(page.url().includes("asof=") && (await text(page)).includes("Hypertension"), "charts without JavaScript", "the day is forgotten by a tab");
		await c.close();
	}

	async function besides({ page, seen }) {
		await open(page, "anna lou");
		await page.click("text=see both side by side");
		await page.waitForURL("**/beside/**");
		want((await page.locator("table.beside2 thead th").count()) === 2 && (await text(page)).includes("nothing of them is put together"), "charts beside", "not two records");
		await look(page, "charts beside", seen);
		await noSwipe(page, "charts beside");
	}

	async function print({ page }) {
		for (const [who, path_, expected] of [["Müller", "", ["Müller-Ötz, Anna Lou", "1950-03-12", "Penicillin", "Hypertension"]], ["Heavy", "/problems", ["Heavy, Ida", "None recorded"]]]) {
			const address = await open(page, who);
			await page.goto(address + path_);
			const file = path.join(work, "chart.pdf");
			await page.pdf({ path: file, format: "A4" });
			const printed = execFileSync("pdftotext", ["-layout", file, "-"]).toString();
			for (const s of expected) want(printed.includes(s), "charts print " + who, "not printed: " + s);
			const pages = printed.split("\f").filter((p) => p.trim());
			pages.forEach((p, i) => want(p.includes(expected[0]), "charts print " + who, `page ${i + 1} of ${pages.length} does not say whose it is`));
		}
	}

	const search = (d) => searching({ ...d, look, want, shot, context, signIn });

	// freshly signs in before a step that asks for the password if it was given some minutes ago.
	const freshly = (step) => async (d) => {
		await d.page.context().clearCookies();
		await signIn(d.page, d.site);
		await step(d);
	};

	async function awkward() {
		const data = path.join(work, "awkward-data");
		write(data);
		await demo("awkward", data, async (d) => {
			for (const step of [people, oddPatients, counted, ...labs({ work, shots, look, shot, want, open, text }), besides,
				...records({ look, shot, want, open, text }), noScript, print,
				...giving({ bin, surroundings, work, look, want, open, text }).map(freshly), search]) await step(d);
			await documents({ ...d, open, text, look, want, shot, shots, context, signIn });
		});
	}

	// practice117 is the larger invented practice, where it is there.
	async function practice117() {
		const data = path.resolve(root, "../shared/data/practice-117");
		if (!existsSync(data)) return;
		await demo("practice117", data, async ({ page, seen }) => {
			await page.goto("/patients");
			want((await text(page)).includes("of 117"), "practice-117", "not 117 patients");
			const records = await fullest(page), paints = [];
			for (let i = 0; i < 7; i++) {
				await page.reload();
				await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
				paints.push(Math.round(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime)));
			}
			console.log(`practice-117: first paint of a chart of ${records} records: ${paints.join(", ")} ms`);
			await walk({ page, seen, look, want, name: "practice-117" });
		});
	}

	return { awkward, practice117 };
}
