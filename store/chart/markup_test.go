package chart_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"chartcellar/store/chart"
)

func TestSafeHTML(t *testing.T) {
	tests := []struct{ name, in, want, left string }{
		{"what may stay", `<div xmlns="http://www.w3.org/1999/xhtml"><p class="x" style="color:red" id="a">Take <b>2</b> daily<br/>with food</p></div>`,
			`<div><p>Take <b>2</b> daily<br>with food</p></div>`, ""},
		{"a table keeps its cells", `<table border="1" width="9"><tr><th colspan="2" onclick="x()">A</th></tr><tr><td rowspan=3>1</td><td colspan="9999">2</td></tr></table>`,
			`<table><tr><th colspan="2">A</th></tr><tr><td rowspan="3">1</td><td>2</td></tr></table>`, ""},
		{"script", `a<script>alert("</p>")</script>b`, `ab`, "1 script"},
		{"script that is never closed", `a<script>alert(1)`, `a`, "1 script"},
		{"script without an inside", `a<script src="https://evil.example/x.js"/>b`, `ab`, "1 script"},
		{"script in capitals, with a slash", `a<ScRiPt/x>y</sCrIpT >b`, `ab`, "1 script"},
		{"script within script", `<scr<script>ipt>alert(1)</scr</script>ipt>`, `ipt&gt;alert(1)ipt&gt;`, ""},
		{"style", `<style>@import url(//evil.example)</style><p style="background:url(x)">a</p>`, `<p>a</p>`, ""},
		{"event handlers", `<b onmouseover=alert(1) onload="x">a</b>`, `<b>a</b>`, ""},
		{"a link leads nowhere", `<a href="javascript:alert(1)">see</a> <a href="https://evil.example">here</a>`, `see here`, ""},
		{"a picture is said, not loaded", `<img src="https://evil.example/t.gif" alt="Wound, left &lt;b&gt;"><img src=x onerror=alert(1)>`,
			`[picture: Wound, left &lt;b&gt;][picture]`, "2 pictures"},
		{"svg", `<svg onload="x"><script>y</script><text>ECG</text><style>z</style></svg>`, `[picture]ECG`, "1 picture; 1 script"},
		{"svg that hides markup in a style", `<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`, `[picture][picture]&#34;&gt;`, "2 pictures"},
		{"math that changes the way of reading", `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
			`<table>[picture]</table>`, "1 picture"},
		{"a frame", `<iframe src="https://evil.example"><b>old</b></iframe><frameset><frame src="x"></frameset>`, `<b>old</b>`, "2 frames"},
		{"base, meta and link", `<base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example"><link rel=stylesheet href=x>a`, `a`, ""},
		{"a form", `<form action="https://evil.example"><input name=a value=b><textarea>typed <b></textarea><button>ok</button></form>`,
			`<div>typed &lt;b&gt;ok</div>`, "3 form fields"},
		{"embedded files", `<object data=x><param name=y>instead</object><embed src=x><video><source src=x></video>`, `instead`, "1 recording; 2 embedded files"},
		{"comments, also those of old browsers", `a<!--[if IE]><script>x</script><![endif]-->b<![CDATA[c]]>d<?php x ?>e`, `abde`, ""},
		{"noscript holds what it holds", `<noscript><p title="</noscript><img src=x onerror=alert(1)>">a</p></noscript>`, `<p>a</p>`, ""},
		{"plaintext does not swallow the page", `a<plaintext>b<b>c`, `ab<b>c</b>`, ""},
		{"broken nesting is mended", `<b><i>a</b>c</i><p>d</div><ul><li>e</ul>f`, `<b><i>a</i></b>c<p>d</p><ul><li>e</li></ul>f`, ""},
		{"what was left open ends", `<p>a<p>b<ul><li>c<li>d<table><tr><td>e<td>f<tr><td>g`,
			`<p>a</p><p>b</p><ul><li>c</li><li>d<table><tr><td>e</td><td>f</td></tr><tr><td>g</td></tr></table></li></ul>`, ""},
		{"an end in a cell ends nothing around the table", `<div><table><tr><td>a</div>b</td></tr></table>c</div>`,
			`<div><table><tr><td>ab</td></tr></table>c</div>`, ""},
		{"a tag that is never closed is text", `BP <low and falling`, `BP &lt;low and falling`, ""},
		{"less than is no tag", `K <3.5 & Na > 140 <`, `K &lt;3.5 &amp; Na &gt; 140 &lt;`, ""},
		{"null bytes", "a\x00<sc\x00ript>b</sc\x00ript>", "a␀b", ""},
		{"control characters and marks that turn the text around", "a\u202Eb&#x202E;c\u2066d&#7;", `a[U+202E]b[U+202E]c[U+2066]d␇`, ""},
		{"right-to-left letters stay", `<p dir="rtl">ליאור حداد</p>`, `<p>ליאור حداد</p>`, ""},
		{"entities", `&lt;script&gt;alert(1)&lt;/script&gt; &eacute; &nbsp;&#60;b&#62;`, "&lt;script&gt;alert(1)&lt;/script&gt; é \u00a0&lt;b&gt;", ""},
		{"struck-out words stay struck out", `<del>10 mg</del> <ins>20 mg</ins> <strike>x</strike>`, `<del>10 mg</del> <ins>20 mg</ins> <s>x</s>`, ""},
		{"the title of a page is read", `<html><head><title>Letter</title></head><body bgcolor=red>a</body></html>`, `<p>Letter</p>a`, ""},
		{"bytes that are no text", "a\xff\xfeb", "a��b", ""},
		{"nothing", ``, ``, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := chart.SafeHTML(tt.in)
			if m.HTML() != tt.want {
				t.Errorf("SafeHTML = %q\nwant       %q", m.HTML(), tt.want)
			}
			if left := strings.Join(m.Left(), "; "); left != tt.left {
				t.Errorf("Left = %q, want %q", left, tt.left)
			}
			inert(t, m)
		})
	}
}

// TestSafeHTMLIsQuick: no document of a few megabytes takes long or loses its words.
func TestSafeHTMLIsQuick(t *testing.T) {
	const n = 60_000
	for name, in := range map[string]string{
		"very deep":       strings.Repeat("<div>", n) + "words" + strings.Repeat("</div>", n),
		"deep and open":   strings.Repeat("<b><p>", n) + "words",
		"only ends":       strings.Repeat("</table></b>", n) + "words",
		"open lists":      strings.Repeat("<ul><li>", n) + "words",
		"open scripts":    "words" + strings.Repeat("<script>", n),
		"open tags":       "words" + strings.Repeat("<a ", n),
		"many attributes": "<td " + strings.Repeat("a=1 ", n) + ">words</td>",
		"many comments":   strings.Repeat("<!-", n) + "<p>words",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			m := chart.SafeHTML(in)
			text, _ := chart.Text("text/html", []byte("<html>"+in))
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
			if !strings.Contains(m.HTML(), "words") || !strings.Contains(text, "words") {
				t.Errorf("the words are lost: %.100q, %.100q", m.HTML(), text)
			}
			if deep := depth(m.HTML()); deep > 64 {
				t.Errorf("%d elements stand in each other", deep)
			}
		})
	}
}

// depth returns how deep elements stand in each other, or a large number if one was
// closed that was not open, or left open.
func depth(s string) int {
	now, most := 0, 0
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if now != 0 {
				return 1 << 30
			}
			return most
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) != "br" && string(name) != "hr" {
				now++
				most = max(most, now)
			}
		case html.EndTagToken:
			if now--; now < 0 {
				return 1 << 30
			}
		}
	}
}

// harmless are the elements that may be in a Markup.
const harmless = " p div span br hr pre blockquote h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table caption thead tbody tfoot " +
	"tr th td b strong i em u s del ins sub sup small code mark "

// inert reads a markup as a browser does and looks whether all in it is harmless.
func inert(t *testing.T, m chart.Markup) {
	t.Helper()
	nodes, err := html.ParseFragment(strings.NewReader(m.HTML()), &html.Node{Type: html.ElementNode, Data: "body", DataAtom: atom.Body})
	if err != nil {
		t.Errorf("the markup cannot be read again: %v", err)
	}
	for len(nodes) > 0 {
		n := nodes[0]
		nodes = nodes[1:]
		for c := range n.ChildNodes() {
			nodes = append(nodes, c)
		}
		switch {
		case n.Type == html.TextNode:
			if strings.ContainsAny(n.Data, "\x00\x07\x1b\u202a\u202b\u202d\u202e\u2066\u2067\u2068") {
				t.Errorf("control characters in %q", n.Data)
			}
		case n.Type != html.ElementNode || !strings.Contains(harmless, " "+n.Data+" ") || n.Namespace != "":
			t.Errorf("%q holds a node %q", m.HTML(), n.Data)
		}
		for _, a := range n.Attr {
			if a.Key != "colspan" && a.Key != "rowspan" || strings.Trim(a.Val, "0123456789") != "" {
				t.Errorf("%q holds an attribute %q", m.HTML(), a.Key)
			}
		}
	}
	if deep := depth(m.HTML()); deep > 64 {
		t.Errorf("elements of %q do not fit together: %d", m.HTML(), deep)
	}
}

// FuzzMarkup: whatever comes in, what comes out is harmless; of clinical documents too.
func FuzzMarkup(f *testing.F) {
	for _, s := range []string{`<p>a<script>b</script>`, `<table><td><svg><style><img src=x onerror=y>`, `<b onclick="</b>">`,
		`<a href='javascript:x'>`, "<!--><p>-->", `<math><mi//xlink:href="data:x,<script>">`, `<noscript><p title="</noscript>">`,
		`<td colspan=1e9 rowspan="2">`, "\x00<\x00p>\u202e", `<textarea><xmp><title><iframe><plaintext>`, `<select><option><form>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		inert(t, chart.SafeHTML(s))
		cda := `<ClinicalDocument><component><structuredBody><component><section><title>T</title><text>` + s +
			`</text></section></component></structuredBody></component></ClinicalDocument>`
		if doc, err := chart.ReadClinical("text/xml", []byte(cda)); err == nil {
			for _, section := range doc.Sections {
				inert(t, section.Text)
			}
		}
	})
}
