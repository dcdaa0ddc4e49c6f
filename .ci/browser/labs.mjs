// What was measured of a patient, in a real browser: labs, panels, days, one test, vital
// signs and growth. charts.mjs calls it with the practice of awkward.mjs.
import { execFileSync } from "node:child_process";
import path from "node:path";

export function labs({ work, shots, look, shot, want, open, text }) {
	// says holds the text of a page against what must be on it, and what must not.
	async function says(page, where, all, none = []) {
		const words = await text(page);
		for (const s of all) want(words.includes(s), where, "does not say " + s);
		for (const s of none) want(!words.includes(s), where, "says " + s);
	}

	async function results({ page, seen }) {
		await open(page, "Müller");
		await page.click(".tabs a:has-text('Labs and results')");
		await page.waitForURL("**/labs");
		await says(page, "labs", ["<5 mg/L", "1 : 160", "no value: sample clotted", "15-150 ug/L (women); 30-400 ug/L (men)", "1 record was entered in error", "secret result", "1 record is not as FHIR says"], ["999"]);
		await look(page, "labs", seen);
		for (const [view, address] of [["By panel", "**/labs/panels"], ["By day", "**/labs/grid"]]) {
			await page.click(`.views a:has-text('${view}')`);
			await page.waitForURL(address);
			await says(page, "labs " + view, [], ["999"]);
			await look(page, "labs " + view, seen);
		}
		await page.click(".views a:has-text('Latest of each test')");
		await page.click("table.labs tbody th a:has-text('Glucose')");
		await page.waitForURL("**/labs/test/*");
		want(!page.url().toLowerCase().includes("glucose") && !page.url().includes("2345"), "labs test", "the address names the test");
		await says(page, "labs test", ["5 of 6 results drawn", "the unit changes, and each has its own axis: mmol/L, mg/dL", "◆ corrected", "1 to 6 of 6, newest first", "1 more was entered in error", "▲ High", "▲ Above range", "3.9-5.6 mmol/L", "70-100 mg/dL", "(cancelled)", "not fasting"], ["999 mg"]);
		want((await page.locator("svg.trend[role=img] title").innerHTML()) === "Glucose", "labs test", "the drawing has no name");
		want((await page.locator("svg.trend .words text").evaluateAll((all) => all.filter((t) => /^m(mol|g)\/d?L$/.test(t.textContent)).length)) === 2, "labs test", "not two axes");
		await look(page, "labs test", seen);
		await shot(page, "labs-test", { fullPage: false });
		const file = path.join(work, "labs.pdf");
		await page.pdf({ path: file, format: "A4" });
		const printed = execFileSync("pdftotext", ["-layout", file, "-"]).toString();
		for (const s of ["Müller-Ötz", "Glucose", "101 mg/dL", "mmol/L", "corrected"]) want(printed.includes(s), "labs print", "not printed: " + s);
	}

	async function vitals({ page, seen }) {
		await open(page, "Müller");
		await page.click(".tabs a:has-text('Vital signs')");
		await page.waitForURL("**/vitals");
		await says(page, "vitals", ["Blood pressure", "8 results are drawn", "137/87 mm[Hg]", "5 of 8, newest first"]);
		await look(page, "vitals", seen);
		await open(page, "Grown");
		await page.click(".tabs a:has-text('Vital signs')");
		await page.waitForURL("**/vitals");
		await says(page, "growth", ["By age when measured", "no percentile curves", "29 kg"]);
		want((await page.locator("svg.trend").count()) === 2, "growth", "not two drawings");
		await look(page, "growth", seen);
	}

	// heavy turns the pages of a chart of 5,000 results: nothing is cut silently.
	async function heavy({ page, seen }) {
		const address = await open(page, "Heavy");
		await page.goto(address + "/labs");
		await says(page, "labs of Heavy", ["60 tests", "50 of 60 on this page", "page 1 of 2"]);
		await look(page, "labs of Heavy", seen);
		if (shots) await shot(page, "labs", { fullPage: false });
		const counts = async () => (await page.locator("table.labs tbody td:last-child.n").allInnerTexts()).map((s) => Number(s.replaceAll(",", "")));
		let all = await counts();
		await page.click(".turn a:has-text('Next')");
		all = all.concat(await counts());
		const sum = all.reduce((n, one) => n + one, 0);
		want(all.length === 60 && sum === 5000, "labs of Heavy", `${all.length} tests of ${sum} results`);
		await page.goto(address + "/labs/grid");
		await look(page, "labs of Heavy by day", seen);
		await page.click("table.grid tbody th a >> nth=0");
		await page.waitForURL("**/labs/test/*");
		await says(page, "a test of Heavy", ["results are drawn", "1 to 60 of ", "page 1 of 2"]);
		await look(page, "a test of Heavy", seen);
	}

	return [results, vitals, heavy];
}
