// Locks the page when nobody uses it, and warns two minutes before. The server
// locks by itself; this only blanks what is on the screen in time.
(function () {
	"use strict";
	var left = Number(document.body.dataset.left || 0);
	if (!left) { return; }
	var box = document.getElementById("idle");
	var ends = Date.now() + left * 1000;
	var before = null;
	function lock() {
		document.body.hidden = true;
		location.replace("/lock?next=" + encodeURIComponent(location.pathname + location.search));
	}
	function look() {
		var rest = ends - Date.now();
		if (rest <= 0) { lock(); return; }
		if (rest <= Math.min(120000, left * 500) && box.hidden) {
			before = document.activeElement;
			box.hidden = false;
			document.getElementById("stay").focus();
		}
	}
	setInterval(look, 1000);
	document.addEventListener("visibilitychange", look);
	window.addEventListener("pageshow", function (e) { if (e.persisted) { location.reload(); } });
	document.body.addEventListener("htmx:afterRequest", function (e) {
		if (e.detail.pathInfo.requestPath !== "/stay" || !e.detail.successful) { return; }
		ends = Date.now() + left * 1000;
		box.hidden = true;
		if (before && before.focus) { before.focus(); }
	});
})();
