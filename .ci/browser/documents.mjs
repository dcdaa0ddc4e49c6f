// The documents of a patient in a real browser: each kind is shown as what it is, what
// is hostile in it does nothing, and what cannot be shown is said.
import { readFileSync } from "node:fs";
import { pdf } from "./awkward.mjs";

export async function documents({ page, seen, site, open, text, look, want, shot, shots, context, signIn }) {
	const list = (await open(page, "Müller")) + "/documents";
	await page.click("section.documents tbody th a >> nth=0");
	await page.waitForURL("**/document/**/1");

	// go opens a document by its name in the list.
	async function go(name) {
		await page.goto(list);
		await page.click(`table.list th a:has(bdi:text-is("${name}"))`);
		await page.waitForURL("**/document/**");
		return page.url();
	}

	await page.goto(list);
	const all = await text(page);
	want(all.includes("12 of 12; the copy holds 11 of 12."), "documents", "the list is not counted: " + all.slice(0, 300));
	want(/Only at the EMR[^\n]*\n?[^\n]*NO/.test(all), "documents", "the list does not say what is missing");
	await look(page, "documents", seen);
	await page.selectOption("#type", { label: "Referral" });
	await page.click(".types button");
	want((await text(page)).includes("1 of 12"), "documents", "a type cannot be chosen");

	await readable(await go("Good letter"));
	for (const [name, said] of [["Corrupt letter", "damaged or not whole"], ["Locked letter", "locked with a password"]]) {
		await go(name);
		await page.waitForFunction((s) => document.getElementById("pdfstate").textContent.includes(s), said);
		await look(page, "document " + name, seen);
	}
	await go("Says text");
	await page.waitForSelector(".pdfpage[data-state=drawn]");
	want((await text(page)).includes("The record calls this plain text; by its bytes it is a PDF"), "document Says text", "the wrong label is not said");
	for (const [name, said] of [["Referral", "the knee is better. <script>"], ["Note", "Knee pain since spring.\nPlan: X-ray."], ["Drawing", "an SVG drawing, which is not shown here"], ["Fax", "a TIFF picture, which is not shown here"],
		["Only at the EMR", "The copy does not hold this document"]]) {
		await go(name);
		want((await text(page)).includes(said), "document " + name, "does not say: " + said);
		await look(page, "document " + name, seen);
	}
	await framed();
	await picture();
	await saved();
	await noScript();

	// readable holds a PDF against its text, its buttons and the keyboard.
	async function readable() {
		await page.waitForSelector(".pdfpage[data-state=drawn]");
		want((await page.locator(".textLayer").innerText()).includes("The heart is well"), "document PDF", "its text cannot be selected");
		const dark = await page.evaluate(() => { const c = document.querySelector(".pdfpage canvas"); return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 0 && v < 100).length; });
		want(dark > 100, "document PDF", "nothing is drawn");
		await look(page, "document PDF", seen);
		await page.waitForSelector(".pdfpage[data-state=drawn]");
		const width = () => page.evaluate(() => document.querySelector(".pdfpage").getBoundingClientRect().width);
		const before = await width();
		await page.focus("text=Larger");
		await page.keyboard.press("Enter");
		want((await width()) > before, "document PDF", "it cannot be made larger");
		if (shots) { await page.waitForTimeout(300); await shot(page, "document", { fullPage: false }); }
	}

	// framed holds a web page and a clinical document: inert, in a sandbox, by section.
	async function framed() {
		for (const [name, said] of [["Web page", "Seen on Monday"], ["Summary of care", "Peanut"]]) {
			await go(name);
			const frame = page.frames()[1];
			await frame.waitForSelector("body");
			want((await frame.locator("body").innerText()).includes(said), "document " + name, "does not show " + said);
			want((await frame.locator("script, img, iframe, svg, a, base, meta[http-equiv], [onclick], [onload]").count()) === 0, "document " + name, "foreign elements are in the frame");
			await look(page, "document " + name, seen);
		}
		await page.click("nav[aria-label^=Sections] a:text-is('Plan')");
		await page.waitForFunction(() => true);
		want((await page.frames()[1].locator("#s1").innerText()).includes("Come back in spring"), "document sections", "a section cannot be opened");
		if (shots) await shot(page, "document-ccda", { fullPage: false });
	}

	async function picture() {
		await go("Scan");
		want(await page.evaluate(() => { const i = document.querySelector("#sheet img"); return i.complete && i.naturalWidth === 10; }), "document picture", "it is not shown");
		await page.click("text=Turn");
		want((await page.getAttribute("#sheet", "class")).includes("turn1"), "document picture", "it cannot be turned");
		await look(page, "document picture", seen);
	}

	// saved takes a file out: the same bytes, under a name of ours.
	async function saved() {
		await go("Good letter");
		const save = async () => { // the file, or null if the password is asked for
			const file = page.waitForEvent("download").catch(() => null), asked = page.waitForSelector("#password").then(() => null, () => null);
			await page.click("button:text-is('Save the file')");
			return Promise.race([file, asked]);
		};
		let file = await save();
		if (!file) { // it asks for the password first
			await page.fill("#password", site.password);
			await page.click("main button");
			await page.waitForURL("**/document/**");
			file = await save();
		}
		if (!file) return want(false, "document saved", "nothing came; the page is " + page.url());
		want(file.suggestedFilename() === "document-2026-01-03.pdf", "document saved", "the name is " + file.suggestedFilename());
		want(readFileSync(await file.path()).toString("latin1") === pdf("The heart is well"), "document saved", "other bytes");
	}

	async function noScript() {
		const address = await go("Good letter");
		const c = await context(site, { javaScriptEnabled: false }), plain = await c.newPage();
		await signIn(plain, site);
		await plain.goto(address);
		want((await text(plain)).includes("A PDF is shown here only with JavaScript. Open it by itself, or save the file."), "document without JavaScript", "it is not said");
		await plain.goto((await plain.goto(list)) && (await plain.locator("table.list th a:has(bdi:text-is('Summary of care'))").getAttribute("href")));
		want((await plain.frames()[1].locator("body").innerText()).includes("Peanut"), "document without JavaScript", "no clinical document");
		await c.close();
	}
}
