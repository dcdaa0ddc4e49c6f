package fakeemr

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A job is one export.
type job struct {
	id     string
	types  []string
	since  time.Time
	at     time.Time // the data is of this time
	start  time.Time
	polls  int
	next   time.Time // a poll before this is early
	files  []exportPart
	lapsed map[int]bool // files whose link has expired
}

func (e *EMR) emrHandler() http.Handler {
	mux := http.NewServeMux()
	const base = "/fhir/r4"
	mux.HandleFunc(base+"/.well-known/smart-configuration", e.serveSmart)
	mux.HandleFunc(base+"/metadata", e.serveMetadata)
	mux.HandleFunc(base+"/$export", e.serveKickOff)
	mux.HandleFunc(base+"/Patient/$export", e.serveKickOff)
	mux.HandleFunc(base+"/Group/{group}/$export", e.serveKickOff)
	mux.HandleFunc(base+"/job/{job}", e.serveJob)
	mux.HandleFunc(base+"/file/{job}/{n}", e.serveFile)
	mux.HandleFunc(base+"/deleted/{job}", e.serveDeleted)
	mux.HandleFunc(base+"/errors/{job}", e.serveErrors)
	mux.HandleFunc(base+"/{type}", e.serveSearch)
	mux.HandleFunc(base+"/{type}/{id}", e.serveTwo)
	mux.HandleFunc(base+"/{type}/{id}/{rest...}", e.serveThree)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := e.Faults()
		path := strings.TrimPrefix(r.URL.Path, base)
		switch {
		case f.HTML != "" && strings.HasPrefix(path, f.HTML):
			html(w, http.StatusOK)
		case f.Unauthorized != "" && strings.HasPrefix(path, f.Unauthorized):
			outcome(w, http.StatusUnauthorized, "login", "unauthorized")
		case strings.HasPrefix(path, f.ThrottlePrefix) && e.spend(func(f *Faults) *int { return &f.Throttle }):
			if f.RetryAfter != "" {
				w.Header().Set("Retry-After", f.RetryAfter)
			}
			outcome(w, max(f.ThrottleStatus, http.StatusTooManyRequests), "throttled", "too many requests")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// authorized checks the bearer token and answers 401 itself.
func (e *EMR) authorized(w http.ResponseWriter, r *http.Request) bool {
	t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	e.mu.Lock()
	g, known := e.tokens[t]
	e.mu.Unlock()
	if ok && known && e.clock.Now().Before(g.until) {
		return true
	}
	outcome(w, http.StatusUnauthorized, "login", "unauthorized")
	return false
}

func outcome(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/fhir+json")
	w.WriteHeader(status)
	w.Write(outcomeLine("error", code, text))
}

func outcomeLine(severity, code, text string) []byte {
	b, _ := json.Marshal(map[string]any{"resourceType": "OperationOutcome", "issue": []any{
		map[string]any{"severity": severity, "code": code, "details": map[string]string{"text": text}}}})
	return b
}

func (e *EMR) serveKickOff(w http.ResponseWriter, r *http.Request) {
	f := e.Faults()
	if !e.authorized(w, r) {
		return
	}
	q, err := kickOffQuery(r)
	switch {
	case e.o.NoExport:
		outcome(w, http.StatusNotFound, "not-supported", "there is no export")
		return
	case err != nil:
		outcome(w, http.StatusBadRequest, "invalid", "parameters")
		return
	case r.Header.Get("Prefer") != "respond-async":
		outcome(w, http.StatusBadRequest, "invalid", "Prefer: respond-async is needed")
		return
	case f.PostOnly && r.Method == http.MethodGet:
		outcome(w, http.StatusMethodNotAllowed, "not-supported", "use POST")
		return
	case r.PathValue("group") != "" && r.PathValue("group") != e.GroupID():
		outcome(w, http.StatusNotFound, "not-found", "no such group")
		return
	}
	for _, t := range f.RefuseTypes {
		if slices.Contains(q.types, t) {
			e.count(func(s *Served) { s.Refused++ })
			outcome(w, http.StatusBadRequest, "not-supported", "resource type "+t+" is not supported")
			return
		}
	}
	if f.SingleSlot && e.Served().LiveJobs > 0 {
		e.count(func(s *Served) { s.Refused++ })
		outcome(w, http.StatusTooManyRequests, "throttled", "an export is in progress")
		return
	}
	j := e.newJob(q)
	if f.OnKickOff != nil {
		f.OnKickOff(e.Served().KickOffs)
	}
	if e.spend(func(f *Faults) *int { return &f.LostKickOff }) {
		http.Error(w, "bad gateway", http.StatusBadGateway)
		return
	}
	location := e.BaseURL() + "/job/" + j.id
	switch {
	case f.RelativeURLs:
		location = "/fhir/r4/job/" + j.id
	case f.StatusURL != "":
		location = f.StatusURL
	}
	if !f.NoLocation {
		w.Header().Set("Content-Location", location)
	}
	w.WriteHeader(http.StatusAccepted)
}

type kickOff struct {
	types []string
	group bool
	since time.Time
}

// kickOffQuery reads the parameters of GET and of POST.
func kickOffQuery(r *http.Request) (kickOff, error) {
	k := kickOff{group: r.PathValue("group") != ""}
	since := r.URL.Query().Get("_since")
	for _, t := range r.URL.Query()["_type"] {
		k.types = append(k.types, strings.Split(t, ",")...)
	}
	if r.Method == http.MethodPost {
		var p struct {
			Parameter []struct{ Name, ValueString, ValueInstant, ValueCode string }
		}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			return k, err
		}
		for _, one := range p.Parameter {
			switch one.Name {
			case "_type":
				k.types = append(k.types, one.ValueString+one.ValueCode)
			case "_since":
				since = one.ValueInstant
			}
		}
	}
	if since == "" {
		return k, nil
	}
	var err error
	k.since, err = time.Parse(time.RFC3339Nano, since)
	return k, err
}

func (e *EMR) newJob(q kickOff) *job {
	f := e.Faults()
	all := e.Listed()
	if len(q.types) == 0 {
		q.types = all
	}
	if f.IgnoreSince {
		q.since = time.Time{}
	}
	now := e.clock.Now().UTC()
	j := &job{types: q.types, since: q.since, at: now, start: now, next: now, lapsed: map[int]bool{}}
	for _, t := range q.types {
		if !slices.Contains(all, t) || f.EmptyExport {
			continue
		}
		of := e.base.split(t, max(1, e.o.FilesPerType))
		for n := range of {
			if q.since.IsZero() || n == of-1 {
				j.files = append(j.files, exportPart{typ: t, n: n, of: of, at: now, since: q.since, group: q.group})
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nextJob++
	j.id = fmt.Sprintf("j%d", e.nextJob)
	e.jobs[j.id] = j
	e.served.KickOffs++
	if !j.since.IsZero() {
		e.served.Since++
	}
	e.served.LiveJobs = len(e.jobs)
	e.served.MaxLiveJobs = max(e.served.MaxLiveJobs, len(e.jobs))
	return j
}

func (e *EMR) serveJob(w http.ResponseWriter, r *http.Request) {
	f := e.Faults()
	if !e.authorized(w, r) {
		return
	}
	e.mu.Lock()
	j := e.jobs[r.PathValue("job")]
	e.mu.Unlock()
	if j == nil || f.JobGone {
		outcome(w, http.StatusNotFound, "not-found", "no such job")
		return
	}
	if r.Method == http.MethodDelete {
		e.deleteJob(w, j, f)
		return
	}
	now := e.clock.Now()
	e.mu.Lock()
	e.served.Polls++
	polls := e.served.Polls
	if now.Before(j.next) {
		e.served.EarlyPolls++
	}
	j.polls++
	wanted := e.o.Polls
	if wanted == 0 {
		wanted = 1
	}
	done := j.polls > wanted
	if !done {
		j.next = now.Add(time.Second)
	}
	e.mu.Unlock()
	if f.OnPoll != nil {
		f.OnPoll(polls)
	}
	if !done {
		w.Header().Set("X-Progress", fmt.Sprintf("%d%% Completed", 100*j.polls/(wanted+1)))
		retry := f.RetryAfter
		if retry == "" {
			retry = "1"
		}
		w.Header().Set("Retry-After", retry)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	e.serveManifest(w, j, f)
}

func (e *EMR) deleteJob(w http.ResponseWriter, j *job, f Faults) {
	e.mu.Lock()
	delete(e.jobs, j.id)
	e.served.Deletes++
	n := e.served.Deletes
	e.served.LiveJobs = len(e.jobs)
	e.mu.Unlock()
	if f.OnDelete != nil {
		f.OnDelete(n)
	}
	w.WriteHeader(http.StatusAccepted)
}

func (e *EMR) serveManifest(w http.ResponseWriter, j *job, f Faults) {
	if f.ManifestHTML {
		html(w, http.StatusOK)
		return
	}
	e.mu.Lock()
	j.lapsed = map[int]bool{}
	e.served.Manifests++
	e.mu.Unlock()
	at := j.at
	if f.LateTransaction {
		at = e.clock.Now().UTC()
	}
	format := "2006-01-02T15:04:05.000Z07:00"
	if f.TransactionFormat != "" {
		format = f.TransactionFormat
	}
	base := e.BaseURL()
	if f.RelativeURLs {
		base = "/fhir/r4"
	}
	output := []any{}
	for n, p := range j.files {
		row := map[string]any{"type": p.typ, "url": fmt.Sprintf("%s/file/%s/%d", base, j.id, n)}
		if f.FileURL != "" {
			row["url"] = f.FileURL
		}
		count := e.countLines(p, f)
		if count == 0 && len(f.Extra) == 0 {
			continue
		}
		if !f.NoCount {
			row["count"] = count
		}
		output = append(output, row)
	}
	m := map[string]any{"transactionTime": at.Format(format), "request": e.BaseURL() + "/$export",
		"requiresAccessToken": true, "output": output}
	e.manifestLists(m, j, f, base)
	writeJSON(w, http.StatusOK, m)
}

// manifestLists adds the deleted and error lists in the dialect that is set.
func (e *EMR) manifestLists(m map[string]any, j *job, f Faults, base string) {
	failed, removed := []any{}, []any{}
	if f.ErrorFile != "" {
		failed = append(failed, map[string]any{"type": "OperationOutcome", "url": base + "/errors/" + j.id})
	}
	if !j.since.IsZero() && len(e.deletions(j.types, j.since, j.at)) > 0 {
		removed = append(removed, map[string]any{"type": "Bundle", "url": base + "/deleted/" + j.id})
	}
	if f.Dialect4 {
		m["manifestType"], m["outputFormat"], m["extension"] = "bulk", "application/fhir+ndjson", []any{}
		m["outcome"] = failed
		delete(m, "request")
	} else {
		m["error"], m["extension"] = failed, map[string]any{}
	}
	if !f.NoDeleted {
		m["deleted"] = removed
	}
}

func (e *EMR) countLines(p exportPart, f Faults) int {
	if dir, ok := e.base.(*folder); ok && p.since.IsZero() && e.untouched(p.typ) && f.plainFile(p.typ) {
		return dir.lines[p.typ][p.n]
	}
	n := 0
	e.lines(p, f, func([]byte) error { n++; return nil }) // counting cannot fail
	return n
}

// lines calls fn for the lines of a file as the faults change them.
func (e *EMR) lines(p exportPart, f Faults, fn func([]byte) error) error {
	if slices.Contains(f.EmptyTypes, p.typ) {
		return nil
	}
	if f.ExtraType == p.typ {
		for _, x := range f.Extra {
			if err := fn([]byte(x)); err != nil {
				return err
			}
		}
	}
	stale := f.GroupSinceBug && p.group && !p.since.IsZero()
	return e.export(p, func(id string, line []byte) error {
		if f.HalfGroup && halved(p.typ, id, line) || stale && !e.patientChanged(p, id, line) {
			return nil
		}
		return fn(line)
	})
}

// patientChanged reports whether a record belongs to no patient, or to one whose
// own Patient is changed after since.
func (e *EMR) patientChanged(p exportPart, id string, line []byte) bool {
	if p.typ != "Patient" {
		if id = patientOf(line); id == "" {
			return true
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.ledger.records["Patient"][id]
	if r == nil {
		return false
	}
	v := r.at(p.at)
	return v != nil && v.stamp.After(p.since)
}

// halved reports whether a record belongs to the half of the patients that has
// left the group.
func halved(typ, id string, line []byte) bool {
	if typ != "Patient" {
		if id = patientOf(line); id == "" {
			return false
		}
	}
	sum := 0
	for _, c := range id {
		sum += int(c)
	}
	return sum%2 == 1
}

func (e *EMR) serveFile(w http.ResponseWriter, r *http.Request) {
	f := e.Faults()
	if !e.authorized(w, r) {
		return
	}
	if f.FileRedirect != "" {
		e.redirectFile(w, r, f)
		return
	}
	e.sendFile(w, r.PathValue("job"), r.PathValue("n"), f)
}

func (e *EMR) redirectFile(w http.ResponseWriter, r *http.Request, f Faults) {
	path := fmt.Sprintf("/storage/%s/%s?sig=signed", r.PathValue("job"), r.PathValue("n"))
	to := e.fileURL + path
	switch f.FileRedirect {
	case "evil":
		to = e.evilURL + path
	case "http":
		to = strings.Replace(e.fileURL, "https:", "http:", 1) + path
	case "loop":
		to = e.emrURL + r.URL.Path
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// serveStorage is the file storage: a pre-signed link, and no other
// authorization beside it.
func (e *EMR) serveStorage(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		e.count(func(s *Served) { s.Leaks++ })
		http.Error(w, "only one auth mechanism allowed", http.StatusBadRequest)
		return
	}
	if strings.HasPrefix(r.URL.Path, signedPath) {
		e.serveSigned(w, r)
		return
	}
	if e.Faults().FileRedirect == "chain" {
		http.Redirect(w, r, e.evilURL+r.URL.Path, http.StatusTemporaryRedirect)
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	if len(parts) != 4 || r.URL.Query().Get("sig") != "signed" {
		http.NotFound(w, r)
		return
	}
	e.sendFile(w, parts[2], parts[3], e.Faults())
}

func (e *EMR) sendFile(w http.ResponseWriter, id, number string, f Faults) {
	n, err := strconv.Atoi(number)
	e.mu.Lock()
	j := e.jobs[id]
	gone := j != nil && j.lapsed[n]
	e.mu.Unlock()
	if err != nil || j == nil || n < 0 || n >= len(j.files) {
		outcome(w, http.StatusNotFound, "not-found", "no such file")
		return
	}
	if !gone && e.spend(func(f *Faults) *int { return &f.ExpireFiles }) {
		e.mu.Lock()
		j.lapsed[n], gone = true, true
		e.mu.Unlock()
	}
	p := j.files[n]
	switch {
	case gone:
		outcome(w, http.StatusGone, "expired", "the link has expired")
		return
	case f.FileStatus != 0 && (f.FileType == "" || f.FileType == p.typ):
		outcome(w, f.FileStatus, "exception", "this file cannot be read")
		return
	}
	if f.OnFile != nil {
		f.OnFile(n + 1)
	}
	sent, err := e.writeFile(w, p, f)
	e.count(func(s *Served) {
		s.Bytes += sent
		if err == nil {
			s.Files[fmt.Sprintf("%s %s/%d", id, p.typ, n)]++
		}
	})
}

// writeFile sends one file; whole files without faults come straight from disk.
func (e *EMR) writeFile(w http.ResponseWriter, p exportPart, f Faults) (int64, error) {
	w.Header().Set("Content-Type", "application/fhir+ndjson")
	if dir, ok := e.base.(*folder); ok && p.since.IsZero() && e.untouched(p.typ) && f.plainFile(p.typ) {
		return copyFile(w, dir.files[p.typ][p.n])
	}
	var body bytes.Buffer
	to := io.Writer(&counted{w: w})
	if f.Truncate != "" || f.Gzip != "" || f.NoLastNewline {
		to = &body
	}
	end := "\n"
	if f.CRLF {
		end = "\r\n"
	}
	if f.BOM {
		io.WriteString(to, "\ufeff")
	}
	err := e.lines(p, f, func(line []byte) error {
		if f.Drip > 0 {
			time.Sleep(time.Duration(len(line)) * time.Second / time.Duration(f.Drip))
		}
		_, err := to.Write(append(bytes.Clone(line), end...))
		return err
	})
	if err != nil || to != &body {
		if c, ok := to.(*counted); ok {
			return c.n, err
		}
		return 0, err
	}
	return e.sendBroken(w, p, f, body.Bytes())
}

// plainFile reports whether no fault changes the bytes of a type's files.
func (f Faults) plainFile(typ string) bool {
	return f.Truncate == "" && f.Gzip == "" && !f.NoLastNewline && !f.CRLF && !f.BOM &&
		f.ExtraType != typ && !f.HalfGroup && f.Drip == 0 && !slices.Contains(f.EmptyTypes, typ)
}

func (e *EMR) untouched(typ string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ledger.records[typ]) == 0
}

func copyFile(w http.ResponseWriter, name string) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close() // read only
	if strings.HasSuffix(name, ".gz") {
		w.Header().Set("Content-Encoding", "gzip")
	}
	if info, err := file.Stat(); err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	}
	return io.Copy(w, file) // without TLS the system sends it without a copy through here
}

// sendBroken sends a body that the faults cut or pack.
func (e *EMR) sendBroken(w http.ResponseWriter, p exportPart, f Faults, body []byte) (int64, error) {
	if f.NoLastNewline {
		body = bytes.TrimRight(body, "\r\n")
	}
	switch f.Gzip {
	case "plain":
		w.Header().Set("Content-Encoding", "gzip")
		body = zip(body)
	case "hidden":
		body = zip(body)
	case "double":
		w.Header().Set("Content-Encoding", "gzip")
		body = zip(zip(body))
	case "crc":
		w.Header().Set("Content-Encoding", "gzip")
		body = zip(body)
		body[len(body)-6] ^= 1
	case "bomb":
		if f.FileType != "" && f.FileType != p.typ {
			break
		}
		w.Header().Set("Content-Encoding", "gzip")
		body = zip(append([]byte(`{"resourceType":"`), bytes.Repeat([]byte{'A'}, 256<<20)...))
	}
	cut := f.Truncate != "" && (f.TruncateType == "" || f.TruncateType == p.typ)
	if cut && f.TruncateTimes > 0 {
		cut = e.spend(func(f *Faults) *int { return &f.TruncateTimes })
		if e.Faults().TruncateTimes == 0 {
			e.mu.Lock()
			e.faults.Truncate = ""
			e.mu.Unlock()
		}
	}
	if !cut {
		n, err := w.Write(body)
		return int64(n), err
	}
	return truncate(w, f.Truncate, body)
}

// truncate ends the body early: how says where, and that with "close" in front
// the connection's end is the only end of the body (F11).
func truncate(w http.ResponseWriter, how string, body []byte) (int64, error) {
	end := len(body) / 2
	if strings.HasSuffix(how, "newline") {
		end = bytes.LastIndexByte(body[:end], '\n') + 1
	}
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Type: application/fhir+ndjson\r\nConnection: close\r\n")
	if !strings.HasPrefix(how, "close") {
		fmt.Fprintf(buf, "Content-Length: %d\r\n", len(body))
	}
	buf.WriteString("\r\n")
	buf.Write(body[:end])
	return int64(end), fmt.Errorf("cut on purpose: %w", buf.Flush())
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b) // a buffer takes everything
	z.Close()
	return out.Bytes()
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (e *EMR) serveDeleted(w http.ResponseWriter, r *http.Request) {
	e.serveList(w, r, func(j *job, w io.Writer) {
		for _, ref := range e.deletions(j.types, j.since, j.at) {
			fmt.Fprintf(w, `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":%q}}]}`+"\n", ref)
		}
	})
}

func (e *EMR) serveErrors(w http.ResponseWriter, r *http.Request) {
	f := e.Faults()
	e.serveList(w, r, func(_ *job, w io.Writer) {
		text := f.ErrorFile
		if f.ErrorType != "" {
			text = f.ErrorType + ": " + text
		}
		w.Write(append(outcomeLine("error", "exception", text), '\n'))
	})
}

func (e *EMR) serveList(w http.ResponseWriter, r *http.Request, write func(*job, io.Writer)) {
	if !e.authorized(w, r) {
		return
	}
	e.mu.Lock()
	j := e.jobs[r.PathValue("job")]
	e.mu.Unlock()
	if j == nil {
		outcome(w, http.StatusNotFound, "not-found", "no such job")
		return
	}
	w.Header().Set("Content-Type", "application/fhir+ndjson")
	write(j, w)
}
