// Keys: "/" goes to the search of patients, "g" and then "h", "p" or "b" to Home,
// Patients or Backups, the arrows up and down from row to row of a list.
(function () {
	"use strict";
	var places = { h: "/", p: "/patients", b: "/backups" };
	var went = 0;
	function writing(e) {
		return /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName) || e.target.isContentEditable;
	}
	function rows() {
		return Array.prototype.slice.call(document.querySelectorAll(".hintlist a, .people tbody th a, .list tbody th a"));
	}
	function step(e, by) {
		var all = rows(), at = all.indexOf(document.activeElement);
		if (at < 0 && (by < 0 || writing(e) && e.target.id !== "text")) { return; }
		var next = all[at + by];
		if (!next && by < 0) { next = document.getElementById("text"); }
		if (next) { next.focus(); e.preventDefault(); }
	}
	// The browser puts the keyboard into a field that asks for it only when it paints: what is
	// typed until then would be lost.
	var first = document.querySelector("[autofocus]");
	if (first && document.activeElement === document.body) { first.focus(); }
	document.addEventListener("keydown", function (e) {
		if (e.ctrlKey || e.altKey || e.metaKey) { return; }
		if (e.key === "ArrowDown") { step(e, 1); return; }
		if (e.key === "ArrowUp") { step(e, -1); return; }
		if (writing(e)) { return; }
		var link = places[e.key];
		if (e.key === "/") {
			var box = document.getElementById("text");
			if (box) { box.focus(); box.select(); } else if (document.querySelector("nav a[href='/patients']")) { location.assign("/patients"); } else { return; }
			e.preventDefault();
		} else if (e.key === "g") {
			went = Date.now();
		} else if (link && Date.now() - went < 1500 && document.querySelector("nav a[href='" + link + "']")) {
			location.assign(link);
		}
	});
})();
