// Locks the page when nobody uses the session, and warns two minutes before. The
// server locks by itself; this asks it, since another tab may be in use, and blanks
// the screen in time.
(function () {
	"use strict";
	var left = Number(document.body.dataset.left || 0);
	if (!left) { return; }
	var box = document.getElementById("idle");
	var warn = Math.min(120, left / 2) * 1000;
	var ends = Date.now() + left * 1000;
	var before = null, asking = false;
	function lock() {
		document.body.hidden = true;
		location.replace("/lock?next=" + encodeURIComponent(location.pathname + location.search));
	}
	function show() {
		before = document.activeElement;
		box.hidden = false;
		document.getElementById("stay").focus();
	}
	function hide() {
		box.hidden = true;
		if (before && before.focus) { before.focus(); }
	}
	function ask() {
		if (asking) { return; }
		asking = true;
		fetch("/idle", { cache: "no-store", redirect: "error" }).then(function (r) { return r.ok ? r.text() : "0"; })
			.then(Number, function () { return Math.floor((ends - Date.now()) / 1000); })
			.then(function (seconds) {
				asking = false;
				if (!(seconds > 0)) { lock(); return; }
				ends = Date.now() + seconds * 1000;
				if (seconds * 1000 > warn) { if (!box.hidden) { hide(); } } else if (box.hidden) { show(); }
			});
	}
	function look() {
		var rest = ends - Date.now();
		if (rest <= 0 || rest <= warn && box.hidden) { ask(); }
	}
	setInterval(look, 1000);
	document.addEventListener("visibilitychange", look);
	window.addEventListener("pageshow", function (e) { if (e.persisted) { location.reload(); } });
	document.body.addEventListener("htmx:afterRequest", function (e) {
		if (e.detail.pathInfo.requestPath === "/stay" && e.detail.successful) { ask(); }
	});
})();

// A form that was just sent takes the page along: what is asked in the background
// meanwhile does not, for it would show the page of before again.
(function () {
	"use strict";
	var sent = 0;
	document.addEventListener("submit", function (e) {
		if (!e.defaultPrevented) { sent = Date.now(); }
	});
	document.body.addEventListener("htmx:beforeOnLoad", function (e) {
		if (Date.now() - sent < 10000) { e.preventDefault(); }
	});
})();
