// Emergency access, its review, who saw whom, and hiding a patient, by the keyboard, without
// JavaScript and on a telephone.
export function privacy({ sites, context, watch, look, shot, want, signIn, reach }) {
	const staff = () => ({ ...sites.practice, name: "the staff", password: "other " + sites.practice.password });

	// emergencies opens emergency access and ends it; then an owner reviews it.
	async function emergencies() {
		const site = staff(), c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
		await signIn(page, site);
		await page.goto("/settings");
		await page.click("a[href='/emergency']");
		await look(page, "/emergency", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await page.selectOption("#reason", "The EMR cannot be reached");
		await page.fill("#text", "short, but long");
		await page.evaluate(() => document.querySelector("#text").removeAttribute("minlength"));
		await page.click("main button");
		await page.waitForSelector("[role=alert]");
		want((await page.inputValue("#text")) === "short, but long", "/emergency", "what was typed is gone");
		want((await page.inputValue("#reason")) === "The EMR cannot be reached", "/emergency", "what was chosen is gone");
		await look(page, "/emergency refused", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "emergency");
		await page.goto("/emergency?next=/patients");
		want(await reach(page, "#text"), "keyboard /emergency", "the words cannot be reached");
		await page.keyboard.type("Fell in the street, unconscious, nobody with her");
		await page.keyboard.press("Tab");
		await page.keyboard.press("Tab");
		await page.keyboard.press("Enter");
		await page.waitForURL(site.url + "/patients");
		for (const p of ["/patients", "/", "/emergency"]) {
			await page.goto(p);
			want((await page.locator(".emergencybar").innerText()).includes("EMERGENCY ACCESS for another 60 minutes"), "emergency " + p, "it is not said");
			want((await page.evaluate(() => getComputedStyle(document.body).borderTopWidth)) === "8px", "emergency " + p, "there is no frame");
			await look(page, "emergency " + p, seen);
		}
		await page.setViewportSize({ width: 1100, height: 800 });
		await page.goto("/patients");
		await page.click("table.people tbody th a >> nth=0");
		await page.waitForSelector(".banner");
		await look(page, "emergency chart", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "emergency-chart", { fullPage: false });
		want(await reach(page, "form[action='/emergency/end'] button"), "keyboard emergency", "it cannot be ended");
		await page.keyboard.press("Enter");
		await page.waitForURL("**/emergency?done=calm");
		want((await page.locator(".emergencybar").count()) === 0, "emergency", "the frame stays after the end");
		await look(page, "/emergency afterwards", seen);
		await c.close();
		await review();
	}

	async function review() {
		const site = sites.practice, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
		await signIn(page, site);
		await page.click("text=1 emergency access waits for a review");
		await look(page, "/emergency/review", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "emergency-review");
		await page.click("text=What was opened");
		await look(page, "/emergency/review/one", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await page.goto("/emergency/review");
		await page.fill("input[name=remark]", "Right so.");
		await page.click("text=I have reviewed this");
		await page.waitForURL("**/emergency/review?done=review");
		want((await page.locator("main").innerText()).includes("Nothing waits"), "/emergency/review", "it still waits");
		await look(page, "/emergency/review done", seen);
		await c.close();
	}

	// whoSaw finds who saw a patient and what a person saw, without JavaScript.
	async function whoSaw() {
		const site = sites.practice, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
		await signIn(page, site);
		for (const [name, p] of [["/log/find", "/log/find"], ["/log/account", "/log/account"], ["what-saw", "/log/account?who=the+staff&from=2026-11-01&to="]]) {
			await page.goto(p);
			await look(page, name, seen);
		}
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "what-saw");
		await c.close();
		const plain = await context(site, { javaScriptEnabled: false }), still = await plain.newPage();
		await signIn(still, site);
		await still.goto("/log");
		await still.click("text=Who saw a patient");
		await still.fill("#text", "müll");
		await still.press("#text", "Enter");
		await still.waitForURL("**/log/find?q=*");
		want(!decodeURIComponent(still.url()).includes("müll"), "/log/find", "what was typed stands in the address");
		await still.click("main .links a >> nth=0");
		await still.waitForURL("**/log/patient/*");
		want((await still.locator("main").innerText()).includes("EMERGENCY"), "/log/patient", "emergency access is not marked");
		want(!/ller|Anna/.test(await still.title()), "/log/patient", "the title names the patient");
		await shot(still, "who-saw");
		await plain.close();
	}

	// hiding hides a patient by the keyboard, and shows one again without JavaScript.
	async function hiding() {
		const site = sites.practice, c = await context(site), page = await c.newPage(), seen = watch(page, site.url);
		await signIn(page, site);
		await page.goto("/patients");
		await page.click("table.people tbody th a >> nth=0");
		await page.click("text=Hide this patient");
		await page.waitForURL("**/hide");
		await look(page, "hide", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "hide");
		const at = page.url();
		await page.evaluate(() => document.querySelector("#reason").removeAttribute("required"));
		await page.click("main form.stack button");
		await page.waitForSelector("[role=alert]");
		await look(page, "hide refused", seen);
		await page.goto(at);
		want(await reach(page, "#reason"), "keyboard hide", "the reason cannot be reached");
		await page.keyboard.type("Belongs to another practice, says their doctor");
		await page.keyboard.press("Tab");
		await page.keyboard.press("Enter");
		await page.waitForURL("**/hidden?done=hide");
		want((await page.locator("[role=status]").first().innerText()).includes("hidden from everybody"), "/hidden", "it is not said that it was done");
		await look(page, "/hidden", seen);
		await page.setViewportSize({ width: 1100, height: 800 });
		await shot(page, "hidden");
		await c.close();
		const plain = await context(site, { javaScriptEnabled: false }), still = await plain.newPage();
		await signIn(still, site);
		await still.goto("/settings");
		await still.click("text=Hidden patients");
		await still.fill("#reason-1", "It was right");
		await still.click("article:nth-of-type(2) form button");
		await still.waitForURL("**/chart/*?done=unhide");
		await plain.close();
	}

	return { emergencies, whoSaw, hiding };
}
