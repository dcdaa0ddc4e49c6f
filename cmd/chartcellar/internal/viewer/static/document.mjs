// Shows PDFs, and makes pictures larger, smaller and turned. Without it a page says so
// and offers the file.
const lens = document.querySelector(".lens");
const pdf = document.getElementById("pdf");
const sheet = document.getElementById("sheet");

function buttons(does) {
	lens.hidden = false;
	lens.addEventListener("click", (e) => {
		const what = e.target.dataset.do;
		if (what && does[what]) { does[what](); }
	});
}

if (sheet) {
	const widths = ["z1", "z2", "z3", "z4", "z5"];
	let zoom = 0, turn = 0;
	const show = () => { sheet.className = "sheet " + widths[zoom] + " turn" + turn; };
	buttons({
		larger() { zoom = Math.min(zoom + 1, widths.length - 1); show(); },
		smaller() { zoom = Math.max(zoom - 1, 0); show(); },
		turn() { turn = (turn + 1) % 4; show(); },
	});
}

if (pdf) { showPDF(pdf.dataset).catch(trouble); }

// trouble says in words why a PDF is not shown.
function trouble(e) {
	const save = " Save the file and open it with its own program.";
	const words = {
		PasswordException: "This PDF is locked with a password, which is not in the record." + save,
		InvalidPDFException: "This file says that it is a PDF, but it is damaged or not whole." + save,
	};
	const state = document.getElementById("pdfstate");
	state.className = "note warning";
	state.textContent = words[e.name] || "This PDF could not be shown here. Nothing is lost: the file is in the copy as it came." + save;
	state.hidden = false;
	document.getElementById("pages").hidden = true;
	lens.hidden = true;
}

async function showPDF(from) {
	document.getElementById("pdfstate").textContent = "Opening the PDF…";
	const lib = await import(from.library);
	lib.GlobalWorkerOptions.workerSrc = from.worker;
	// No code of the PDF runs: there is no sandbox for it, and forms are only drawn.
	const doc = await lib.getDocument({
		url: from.from, disableRange: true, disableAutoFetch: true, useWasm: false, wasmUrl: from.parts, useWorkerFetch: true,
		disableWorkerRendering: true, enableXfa: false, maxImageSize: 1 << 28, verbosity: lib.VerbosityLevel.ERRORS,
	}).promise;
	if (doc.numPages === 0) { throw new Error("no page"); }
	const pages = document.getElementById("pages");
	const number = document.getElementById("pagenumber");
	const state = document.getElementById("pdfstate");
	let scale = 0, turned = 0, current = 1;
	const places = [];

	pages.hidden = false;
	state.hidden = true;
	document.getElementById("pagecount").textContent = doc.numPages;
	number.max = doc.numPages;
	const first = await doc.getPage(1);
	const fit = () => Math.min(2, Math.max(0.2, (pages.clientWidth - 24) / first.getViewport({ scale: 1, rotation: (first.rotate + turned) % 360 }).width));
	scale = fit();

	// Only the pages in sight, and their neighbours, are drawn; the others are empty
	// sheets of the right size.
	const watch = new IntersectionObserver((list) => {
		for (const one of list) {
			const n = Number(one.target.dataset.page);
			if (one.isIntersecting) { draw(n); } else { clear(n); }
		}
	}, { root: pages, rootMargin: "50% 0%" });
	for (let n = 1; n <= doc.numPages; n++) {
		const box = document.createElement("div");
		box.className = "pdfpage";
		box.dataset.page = n;
		box.setAttribute("role", "group");
		box.setAttribute("aria-label", "Page " + n + " of " + doc.numPages);
		places[n] = { box, job: 0, width: 0, height: 0 };
		pages.append(box);
	}
	layout();

	function layout() {
		const view = first.getViewport({ scale, rotation: (first.rotate + turned) % 360 });
		for (let n = 1; n <= doc.numPages; n++) {
			clear(n);
			places[n].box.style.width = view.width + "px";
			places[n].box.style.height = view.height + "px";
			watch.unobserve(places[n].box);
			watch.observe(places[n].box);
		}
	}

	function clear(n) {
		const p = places[n];
		p.job++;
		if (p.task) { p.task.cancel(); p.task = null; }
		p.box.replaceChildren();
		p.drawn = false;
	}

	async function draw(n) {
		const p = places[n];
		if (p.drawn) { return; }
		p.drawn = true;
		const job = ++p.job;
		try {
			const page = await doc.getPage(n);
			if (job !== p.job) { return; }
			const view = page.getViewport({ scale, rotation: (page.rotate + turned) % 360 });
			const dots = Math.min(window.devicePixelRatio || 1, Math.sqrt(16777216 / (view.width * view.height)));
			const canvas = document.createElement("canvas");
			canvas.setAttribute("aria-hidden", "true");
			canvas.width = Math.floor(view.width * dots);
			canvas.height = Math.floor(view.height * dots);
			p.box.style.width = view.width + "px";
			p.box.style.height = view.height + "px";
			p.box.style.setProperty("--total-scale-factor", scale);
			const text = document.createElement("div");
			text.className = "textLayer";
			p.box.replaceChildren(canvas, text);
			p.task = page.render({ canvas, viewport: view, transform: dots === 1 ? null : [dots, 0, 0, dots, 0, 0] });
			await p.task.promise;
			if (job !== p.job) { return; }
			await new lib.TextLayer({ textContentSource: page.streamTextContent(), container: text, viewport: view }).render();
			p.box.dataset.state = "drawn";
		} catch (e) {
			if (e.name === "RenderingCancelledException" || job !== p.job) { return; }
			const words = document.createElement("p");
			words.className = "note warning";
			words.textContent = "Page " + n + " could not be drawn. Save the file and open it with its own program.";
			p.box.replaceChildren(words);
		}
	}

	function go(n) {
		current = Math.min(Math.max(1, n || 1), doc.numPages);
		number.value = current;
		pages.scrollTop = places[current].box.offsetTop - 8;
	}

	pages.addEventListener("scroll", () => {
		const line = pages.scrollTop + pages.clientHeight / 3;
		let n = 1;
		while (n < doc.numPages && places[n + 1].box.offsetTop <= line) { n++; }
		current = n;
		if (document.activeElement !== number) { number.value = n; }
	});

	function size(to) {
		const at = current;
		scale = Math.min(5, Math.max(0.2, to));
		layout();
		go(at);
	}

	buttons({
		back() { go(current - 1); },
		next() { go(current + 1); },
		larger() { size(scale * 1.25); },
		smaller() { size(scale / 1.25); },
		turn() { turned = (turned + 90) % 360; size(fit()); },
	});
	number.addEventListener("change", () => go(Number(number.value)));
}
