package fakeemr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// sendCount answers _summary=count.
func (e *EMR) sendCount(w http.ResponseWriter, r *result) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"resourceType":"Bundle","type":%q,"total":%d,"link":[{"relation":"self","url":%s}]}`,
		r.kind, r.total, js(e.BaseURL()+"/"+r.path+r.q.self()))
	sendBundle(w, b.Bytes())
}

func sendBundle(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// sendPage writes one page; the resources are the bytes that the ledger has.
func (e *EMR) sendPage(w http.ResponseWriter, r *result, c cursor, f Faults) {
	from := min(c.offset, r.len())
	to := min(from+r.size, r.len())
	if c.empty {
		to = from
	}
	var b bytes.Buffer
	b.Grow(64 << 10)
	fmt.Fprintf(&b, `{"resourceType":"Bundle","type":%q,`, r.kind)
	if (r.q.total || r.kind == "history") && !f.NoTotal {
		fmt.Fprintf(&b, `"total":%d,`, r.total)
	}
	fmt.Fprintf(&b, `"link":[{"relation":"self","url":%s}`, js(e.BaseURL()+"/"+r.path+r.q.self()))
	if next := e.nextLink(r, c, to, f); next != "" {
		fmt.Fprintf(&b, `,{"relation":"next","url":%s}`, js(next))
	}
	b.WriteByte(']')
	if err := e.writeEntries(&b, r, from, to, &f); err != nil {
		outcome(w, http.StatusInternalServerError, "exception", "the records cannot be read")
		return
	}
	b.WriteByte('}')
	body := b.Bytes()
	if f.Pretty {
		var wide bytes.Buffer
		json.Indent(&wide, body, "", "  ") // a Bundle is valid if its resources are
		body = wide.Bytes()
	}
	if !e.spoilPage(w, r, c, body) {
		sendBundle(w, body)
	}
}

// nextLink is where the next page is; "" if there is none.
func (e *EMR) nextLink(r *result, c cursor, to int, f Faults) string {
	next := cursor{page: c.page + 1, offset: to}
	switch {
	case f.NextLoop:
		next = c
	case to < r.len():
		next.empty = f.EmptyMiddle && c.page == 1
	case f.NextDangling:
		next.dangling = true
	default:
		return ""
	}
	url := e.BaseURL() + "/" + r.path + "?" + pageKey + "=" + r.token + "-" + next.String()
	switch path := strings.TrimPrefix(url, e.emrURL); f.NextURL {
	case "evil":
		return e.evilURL + path
	case "http":
		return "http:" + strings.TrimPrefix(strings.TrimPrefix(url, "https:"), "http:")
	case "inside":
		return "http://169.254.169.254/"
	case "other":
		return e.fileURL + path
	case "internal":
		return "http://internal:8080" + path
	}
	return url
}

func (e *EMR) writeEntries(b *bytes.Buffer, r *result, from, to int, f *Faults) error {
	open := `,"entry":[`
	for i := from; i < to; i++ {
		b.WriteString(open)
		open = ","
		if r.kind == "history" {
			e.writeState(b, &r.states[i], f)
			continue
		}
		one := r.found[i]
		line, err := one.bytes()
		if err != nil {
			return err
		}
		b.WriteString(`{"fullUrl":"` + e.BaseURL() + "/" + r.q.typ + "/" + one.id + `","resource":`)
		b.Write(e.render(r.q.typ, line, f, false))
		b.WriteString(`,"search":{"mode":"match"}}`)
	}
	if r.capped {
		code, severity := f.SearchCapCode, "information"
		if code == "" {
			code = "59133"
		}
		if f.SearchCapFatal {
			severity = "fatal"
		}
		fmt.Fprintf(b, `%s{"resource":{"resourceType":"OperationOutcome","issue":[{"severity":%q,"code":"incomplete",`+
			`"details":{"coding":[{"code":%q}],"text":"additional data may exist"}}]},"search":{"mode":"outcome"}}`,
			open, severity, code)
		open = ","
	}
	if open == "," {
		b.WriteByte(']')
	}
	return nil
}

// spoilPage answers a page as the dials say, and reports whether it did.
func (e *EMR) spoilPage(w http.ResponseWriter, r *result, c cursor, body []byte) bool {
	f := e.Faults()
	typ, _, _ := strings.Cut(r.path, "/")
	meant := (f.PageType == "" || f.PageType == typ) && (f.PageN == 0 || f.PageN == c.page)
	if !meant || f.PageStatus == 0 && !f.PageHTML && !f.PageCut {
		return false
	}
	if f.PageTimes > 0 && e.spend(func(f *Faults) *int { return &f.PageTimes }) && e.Faults().PageTimes == 0 {
		e.mu.Lock()
		e.faults.PageStatus, e.faults.PageHTML, e.faults.PageCut = 0, false, false
		e.mu.Unlock()
	}
	switch {
	case f.PageStatus != 0:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		outcome(w, f.PageStatus, "exception", "this page cannot be read")
	case f.PageHTML:
		html(w, http.StatusOK)
	default:
		cut(w, "application/fhir+json", bytes.NewReader(body), int64(len(body)/2))
	}
	return true
}

// attached are the types whose attachments the dials change.
var attached = []string{"DocumentReference", "DiagnosticReport"}

// render returns a line as it is served. For the oracle, a signed link has no
// query.
func (e *EMR) render(typ string, line []byte, f *Faults, oracle bool) []byte {
	if f.AttachmentURL == "" && !f.WrongHash || !slices.Contains(attached, typ) {
		return line
	}
	return e.relink(line, f, oracle)
}
