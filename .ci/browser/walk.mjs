// Walks through every page of a chart as the links lead, and holds each against the rules.

// tabsOf returns what stands on the tabs of the chart that is open: title, address, records.
export const tabsOf = (page) => page.locator("nav[aria-label='Pages of the chart'] a").evaluateAll((all) => all.map((a) => {
	const count = a.querySelector(".count");
	return { title: a.firstChild.textContent.trim(), href: a.getAttribute("href"), records: count ? Number(count.textContent.replaceAll(",", "")) : -1 };
}));

// walk opens each tab of the chart that is open, what is done with a chart, and every tab of one
// record of each list.
export async function walk({ page, seen, look, want, name }) {
	const chart = page.url(), tabs = await tabsOf(page);
	const sum = tabs.reduce((n, t) => n + Math.max(0, t.records), 0) + 1;
	const said = (await page.locator("main").innerText()).match(/Every record is counted above: ([\d,]+) of ([\d,]+)\./);
	want(said && said[1] === said[2] && Number(said[1].replaceAll(",", "")) === sum, name, `the tabs stand for ${sum} records, the page says ${said}`);
	const records = new Set();
	for (const tab of tabs) {
		const r = await page.goto(tab.href);
		want(r.status() === 200, name + " " + tab.title, "status " + r.status());
		await look(page, name + " " + tab.title, seen);
		const first = await page.locator("main .card a[href^='/record/']").first();
		if (records.size < 3 && await first.count()) records.add(await first.getAttribute("href"));
	}
	for (const act of await page.locator(".acts a").evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
		await page.goto(act);
		await look(page, name + " " + act.split("/").pop().slice(0, 12), seen);
	}
	for (const record of records) {
		await page.goto(record);
		for (const tab of await page.locator("nav[aria-label='Pages of the record'] a").evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
			const r = await page.goto(tab);
			want(r.status() === 200, name + " record", "status " + r.status() + " at a tab");
			await look(page, name + " record", seen);
		}
	}
	await page.goto(chart);
}

// fullest opens the chart with the most records among those on the first page of the patients.
export async function fullest(page) {
	await page.goto("/patients");
	let best = { records: -1 };
	for (const href of await page.locator("table.people tbody th a").evaluateAll((all) => all.map((a) => a.getAttribute("href")))) {
		await page.goto(href);
		const records = (await tabsOf(page)).reduce((n, t) => n + Math.max(0, t.records), 0);
		if (records > best.records) best = { href, records };
	}
	await page.goto(best.href);
	return best.records;
}
