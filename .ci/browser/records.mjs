// One record with everything that the copy knows of it, and a chart as it happened and as it
// changed, over the practice of awkward records; charts.mjs calls it.
export function records({ look, shot, want, open, text }) {
	const tabs = [["source", "SHA-256"], ["versions", "stands: this is the record now"], ["changed", ""], ["used", "What names it"], ["from", "UTC"]];

	// openFrom opens the chart of a patient and there the record of a line of its timeline.
	async function openFrom(page, who, words, record) {
		await open(page, who);
		await page.click(".tabs a:text-is('Timeline')");
		await page.fill("#text", words);
		await page.press("#text", "Enter");
		await page.waitForURL("**/timeline?q=*");
		want(!decodeURIComponent(page.url()).includes(words), "records find " + words, "what was typed stands in the address");
		await page.click(`table.timeline a:has-text('${record}') >> nth=0`);
		await page.waitForURL("**/record/*");
		return page.url();
	}

	async function timeline({ page, seen }) {
		const address = await open(page, "Heavy");
		await page.goto(address + "/timeline");
		want((await text(page)).includes("1–100 of 5,000") && (await page.locator("table.timeline tbody th a").count()) === 100, "records timeline", "not 100 of 5,000");
		await look(page, "records timeline of Heavy", seen);
		await page.click("text=Older");
		want((await text(page)).includes("101–200 of 5,000"), "records timeline", "no older ones");
		await open(page, "Müller");
		await page.click(".tabs a:text-is('Timeline')");
		const all = await text(page);
		for (const s of ["Entered in error", "Without a date", "Hypertension", "2019"]) want(all.includes(s), "records timeline", "does not say " + s);
		want(!all.includes("999 mg/dL"), "records timeline", "shows what was entered in error");
		await look(page, "records timeline of Müller", seen);
		await page.click(".chips a:has-text('Entered in error')");
		want((await text(page)).includes("999 mg/dL"), "records timeline", "what was entered in error cannot be reached");
		await page.click(".chips a:has-text('With a date')");
		await page.click(".rail a:has-text('2024')");
		want((await page.locator("tr.year").allInnerTexts()).join() === "2024", "records timeline", "another year than the one chosen");
	}

	async function cards({ page, seen }) {
		const at = await openFrom(page, "Müller", "hypertension", "Hypertension");
		let all = await text(page);
		for (const s of ["Hypertension (SNOMED 38341003)", "http://snomed.info/sct", "2019-05", "Narrative"]) want(all.includes(s), "records card", "does not say " + s);
		want(!all.includes("evil.example"), "records card", "narrative is not shown as text");
		await page.click("text=As the EMR writes it for reading");
		want(/^Narrative( ?\[picture\])+$/.test((await page.frameLocator("iframe.narrative").locator("body").innerText()).trim()), "records card", "the narrative is not in its frame, or more than its text");
		await look(page, "records card", seen);
		await shot(page, "record");
		for (const [tab, said] of tabs) {
			await page.goto(at + "/" + tab);
			want((await text(page)).includes(said), "records " + tab, "does not say " + said);
			await look(page, "records " + tab, seen);
		}
		await openFrom(page, "Müller", "huge extension", "With a huge extension");
		want((await page.locator(".tree details").count()) > 0 && (await page.content()).includes("https://vendor.example/e299"), "records huge", "a huge extension is not folded, or not on the page");
		await look(page, "records huge", seen);
		await openFrom(page, "Müller", "lisinopril", "Lisinopril 10 mg");
		await page.click(".tree a:has-text('#m')");
		want(page.url().endsWith("#inside-1") && (await page.locator("#inside-1").innerText()).includes("Lisinopril 10 mg"), "records contained", "the contained record is not found");
		await page.click(".tree a:has-text('Practitioner/ruth')");
		all = await text(page);
		want(all.includes("Adeyemi") && !all.includes("Müller"), "records of nobody", "the banner of a patient stands over a record of none");
		await look(page, "records of nobody", seen);
		await page.click(".tabs a:text-is('Where it is used')");
		want((await text(page)).includes("requester › reference"), "records of nobody", "what names it is not found");
		await openFrom(page, "ليلى", "ارتفاع", "ارتفاع ضغط الدم");
		await look(page, "records right to left", seen);
	}

	async function changes({ page, seen }) {
		await page.goto("/patients");
		const charts = await page.locator("table.people tbody th a").evaluateAll((list) => list.map((a) => a.getAttribute("href")));
		for (const address of charts) {
			await page.goto(address + "/changes");
			const diff = page.locator("a:has-text('difference')").first();
			if (!(await diff.count())) continue;
			await look(page, "records changes", seen);
			await shot(page, "changes");
			await diff.click();
			await page.waitForURL("**/changed?from=*");
			want((await page.locator("table.diff tbody tr").count()) > 0, "records diff", "no difference is named");
			await page.click("summary:text-is('The JSON of both')");
			await look(page, "records diff", seen);
			await shot(page, "diff");
			return;
		}
		want(false, "records changes", "nothing changed in any chart");
	}

	return [timeline, cards, changes];
}
