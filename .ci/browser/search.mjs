// Search of notes and codes, and groups of patients, in a real browser over the awkward
// practice.
import { readFileSync } from "node:fs";

export async function searching({ page, seen, site, look, want, shot, context, signIn }) {
	const text = (p = page) => p.locator("main").innerText();

	// search fills in a form and waits until everything was looked at.
	async function search(p, field, what) {
		await p.goto("/search");
		await p.fill(field, what);
		await p.press(field, "Enter");
		await p.waitForURL(/\/search\/[A-Z0-9]+/);
		await p.waitForSelector("text=looked at; ");
		await p.waitForSelector("#state p[role=status]");
		want(!decodeURIComponent(p.url()).includes(what), "search " + what, "what was typed stands in the address");
		return text(p);
	}

	await page.goto("/search");
	await look(page, "search form", seen);
	let found = await search(page, "#text", "knee -smoker");
	want(found.includes("2 records have all of it") && found.includes("Müller-Ötz"), "search knee", found);
	want(found.includes("<script>") && (await page.locator("mark").allInnerTexts()).join(" ").toLowerCase() === "knee knee", "search knee", "not marked, or a script is not text");
	await look(page, "search found", seen);
	await shot(page, "search-found", { fullPage: false });
	found = await search(page, "#text", "no such words anywhere");
	want(found.includes("Nothing was found") && found.includes("0 records have"), "search nothing", found);
	await page.goto("/search");
	await page.press("#text", "Enter");
	want((await text()).includes("Type at least one word"), "search", "an empty search is not refused in words");

	found = await search(page, "#codetext", "hypertension");
	want(found.includes("SNOMED 38341003"), "search codes", found);
	await look(page, "search codes", seen);
	await page.click("button:has-text('Who has it') >> nth=0");
	await page.waitForSelector("table.people tbody th");
	found = await text();
	want(found.includes("1 of 1") && found.includes("Müller-Ötz") && found.includes("2019-05"), "search group", found);
	await look(page, "search group", seen);
	await shot(page, "search-group", { fullPage: false });
	await page.click("text=Save the list");
	if (page.url().includes("/confirm")) {
		await page.fill("#password", site.password);
		await page.keyboard.press("Enter");
		await page.waitForURL(/\/search\/[A-Z0-9]+/);
	}
	const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Save the list")]);
	const csv = readFileSync(await file.path(), "utf8");
	want(csv.includes("Müller-Ötz") && csv.split("\n").length === 3, "search file", csv);

	// Without JavaScript the page asks again by itself.
	const c = await context(site, { javaScriptEnabled: false }), plain = await c.newPage();
	try {
		await signIn(plain, site);
		found = await search(plain, "#text", "glucose");
		want(found.includes("Müller-Ötz") && found.includes("more of"), "search without JavaScript", found);
	} finally {
		await c.close();
	}
}
