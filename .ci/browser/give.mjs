// What is printed, given away, and kept for a day without an EMR, in a real browser.
// charts.mjs calls it with the practice of awkward.mjs.
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

export function giving({ bin, surroundings, work, look, want, open, text }) {
	const words = (file) => execFileSync("pdftotext", ["-layout", file, "-"]).toString();

	async function printed({ page, seen }) {
		const address = await open(page, "Müller");
		await page.click("a:text-is('Print')");
		await page.waitForURL("**/print");
		await look(page, "print", seen);
		want((await text(page)).includes("Every record of the patient is counted"), "print", "the records are not counted");
		await page.locator("[name=section]").evaluateAll((all) => all.forEach((box) => { box.checked = ["allergies", "problems"].includes(box.value); }));
		await page.click("form:has([name=section]) button");
		await page.waitForURL((u) => u.search.includes("section=problems"));
		const file = path.join(work, "print.pdf");
		await page.pdf({ path: file, format: "A4" });
		for (const s of ["Müller-Ötz, Anna Lou", "Penicillin", "Hypertension", "Only 2 of"]) want(words(file).includes(s), "print", "not printed: " + s);
		want(!words(file).includes("Glucose"), "print", "a section is printed that was not chosen");
		const [saved] = await Promise.all([page.waitForEvent("download"), page.click("a:text-is('Save as PDF')")]);
		await saved.saveAs(file);
		for (const s of ["Müller-Ötz, Anna Lou", "Penicillin", "page 1 of "]) want(words(file).includes(s), "print as PDF", "not printed: " + s);
		want(!/ller|1001/.test(saved.suggestedFilename()), "print as PDF", "the name of the file tells of the patient");
	}

	async function given({ page, seen }) {
		const address = await open(page, "Müller");
		await page.goto(address + "/give");
		await look(page, "give", seen);
		await page.fill("#for", "the patient");
		await page.fill("#purpose", "asked for");
		const [saved] = await Promise.all([page.waitForEvent("download"), page.click("text=Make the file")]);
		const file = path.join(work, "given.zip");
		await saved.saveAs(file);
		want(saved.suggestedFilename().endsWith(".zip") && readFileSync(file).subarray(0, 2).toString() === "PK" && statSync(file).size > 10000, "give", "no package came");
		await page.fill("#password", "blue horse 7 lamps");
		await page.fill("#again", "another one");
		await page.click("text=Make the file");
		want((await text(page)).includes("the two passwords differ"), "give", "two passwords were taken for one");
	}

	// opened looks at the page of a file as whoever gets it does: from the disk, without a network.
	async function opened({ page, home, settings }) {
		for (const who of ["anna", "heavy", "hostile", "han"]) {
			const file = path.join(work, "given-" + who + ".html");
			execFileSync(bin, ["patient", "html", who, file, "--for", "x", "--purpose", "y", "--config", settings, "--sheet", path.join(path.dirname(settings), "recovery-sheet.txt")], { env: surroundings(home) });
			const c = await page.context().browser().newContext({ offline: true }), alone = await c.newPage(), asked = [];
			alone.on("request", (r) => r.url().startsWith("file:") || asked.push(r.url()));
			await alone.goto(pathToFileURL(file).href);
			want(asked.length === 0, "the page of " + who, "asks for " + asked.join(" "));
			want((await alone.locator("script, iframe, object, embed, img, link").count()) === 0 && (await alone.evaluate(() => window.pwned)) === undefined, "the page of " + who, "something foreign is in it");
			want((await alone.locator("h1").innerText()).length > 3 && (await alone.locator("main section").count()) > 5, "the page of " + who, "nothing is shown");
			await c.close();
		}
	}

	async function downtime({ page, seen }) {
		await page.goto("/patients");
		await page.click("text=Downtime sheet");
		await page.waitForURL("**/downtime");
		await page.click("summary");
		await page.fill("#list", "MRN-1001\nNobody at all");
		await page.click("text=Keep the list");
		await page.waitForURL((u) => u.search === "?done=list");
		want((await page.locator("#list").inputValue()).includes("MRN-1001"), "downtime", "the list was not kept");
		for (let i = 0; i < 200 && !/patients? (is|are) on it/.test(await text(page)); i++) {
			if (i === 0) await page.click("text=Make one now");
			await page.waitForTimeout(500);
			await page.goto("/downtime");
		}
		const all = await text(page);
		for (const s of ["with an appointment on", "Müller-Ötz, Anna Lou", "Allergies: Penicillin", "as the copy had it"]) want(all.includes(s), "downtime", "does not say " + s);
		await look(page, "downtime", seen);
		const [saved] = await Promise.all([page.waitForEvent("download"), page.click("text=Save the newest as PDF")]);
		const file = path.join(work, "downtime.pdf");
		await saved.saveAs(file);
		for (const s of ["Müller-Ötz, Anna Lou", "Penicillin", "page 1 of "]) want(words(file).includes(s), "downtime as PDF", "not printed: " + s);
	}

	return [printed, given, opened, downtime];
}
