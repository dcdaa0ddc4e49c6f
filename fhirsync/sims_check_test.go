package fhirsync_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"chartcellar/fhirsync"
	"chartcellar/fhirsync/fakeemr"
	"chartcellar/store"
	"chartcellar/store/index"
)

// faults are one to three dials, turned at random.
func (w *world) faults() fakeemr.Faults {
	f := w.base
	if w.one(4) {
		w.note("no faults")
		return f
	}
	typ := w.pick(changing...)
	status := []int{403, 404, 500, 503}[w.r.IntN(4)]
	times := w.r.IntN(4)
	dials := map[string]func(){
		"truncate": func() {
			f.Truncate, f.TruncateType, f.TruncateTimes = w.pick("line", "newline", "close line", "close newline"), typ, times
		},
		"no count": func() { f.NoCount = true },
		"gzip":     func() { f.Gzip = w.pick("plain", "hidden", "double", "crc") },
		"bad line": func() {
			f.Extra, f.ExtraType = []string{w.pick(`{"resourceType":`, `{"resourceType":"`+typ+`"}`, `[]`, `{"resourceType":"`+typ+`","id":"a","id":"b"}`)}, typ
		},
		"subsetted":    func() { f.Extra, f.ExtraType = []string{w.subsetted(typ), w.subsetted(typ)}, typ },
		"format":       func() { f.BOM, f.CRLF, f.NoLastNewline = true, w.one(2), w.one(2) },
		"links expire": func() { f.ExpireFiles = 1 + w.r.IntN(8) },
		"file status":  func() { f.FileStatus, f.FileType = status, typ },
		"redirect":     func() { f.FileRedirect = w.pick("storage", "http", "loop") },
		"error file": func() {
			f.ErrorFile = "export failed"
			if w.one(2) {
				f.ErrorType = typ
			}
		},
		"grant":            func() { f.GrantOnly = []string{"system/Patient.rs", "system/" + typ + ".rs"} },
		"refused":          func() { f.RefuseTypes = append(slices.Clone(f.RefuseTypes), typ) },
		"no export at all": func() { f.EmptyExport = true },
		"empty type":       func() { f.EmptyTypes = []string{typ} },
		"half":             func() { f.HalfGroup = true },
		"since ignored":    func() { f.IgnoreSince = true },
		"no deleted":       func() { f.NoDeleted = true },
		"late":             func() { f.LateTransaction = true },
		"format of times":  func() { f.TransactionFormat = w.pick("soon", "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05") },
		"job gone":         func() { f.JobGone = true },
		"manifest HTML":    func() { f.ManifestHTML = true },
		"no location":      func() { f.NoLocation = true },
		"lost kick-off":    func() { f.LostKickOff = 1 },
		"post only":        func() { f.PostOnly = true },
		"4.0":              func() { f.Dialect4 = true },
		"group since":      func() { f.GroupSinceBug = true },
		"unauthorized":     func() { f.Unauthorized = "/" + w.pick("$export", "Observation", "Patient", "file") },
		"throttle":         func() { f.Throttle, f.RetryAfter = 1+w.r.IntN(12), w.pick("0", "1", "18000", "soon", "") },
		"token":            func() { f.TokenStatus, f.TokenError = 400, "invalid_client" },
		"token HTML":       func() { f.TokenHTML = true },

		"ignored":      func() { f.IgnoreLastUpdated, f.LyingSelf = true, w.one(2) },
		"strict":       func() { f.StrictRefused = true },
		"no summary":   func() { f.NoSummary = true },
		"no total":     func() { f.NoTotal = true },
		"no counts":    func() { f.NoSummary, f.NoTotal = true, true },
		"count wrong":  func() { f.CountWrong = w.r.IntN(7) - 3 },
		"page size":    func() { f.CountCap, f.CountIgnored = w.r.IntN(8), w.one(2) },
		"no sort":      func() { f.SortIgnored = true },
		"empty search": func() { f.EmptySearch = true },
		"entries":      func() { f.DropEntries = 2 + w.r.IntN(9) },
		"cap":          func() { f.SearchCap, f.SearchCapFatal = 3+w.r.IntN(30), w.one(2) },
		"offsets":      func() { f.OffsetPaging = true },
		"pages expire": func() { f.NextExpires, f.NextExpireTimes = 2+w.r.IntN(3), 1+w.r.IntN(20) },
		"circle":       func() { f.NextLoop = true },
		"dangling":     func() { f.NextDangling = true },
		"empty middle": func() { f.EmptyMiddle = true },
		"next":         func() { f.NextURL = w.pick("evil", "http", "inside", "other", "internal") },
		"pretty":       func() { f.Pretty = true },
		"page status":  func() { f.PageStatus, f.PageType, f.PageN, f.PageTimes = status, w.pick("", typ), w.r.IntN(4), times },
		"page HTML":    func() { f.PageHTML, f.PageType, f.PageN, f.PageTimes = true, w.pick("", typ), w.r.IntN(4), times },
		"page cut":     func() { f.PageCut, f.PageType, f.PageN, f.PageTimes = true, w.pick("", typ), w.r.IntN(4), times },
		"HTML":         func() { f.HTML = "/" + typ },

		"binary":            func() { f.BinaryMode = w.pick("json", "406") },
		"attachment HTML":   func() { f.AttachmentHTML, f.AttachmentType = true, w.pick("", "application/pdf") },
		"attachment cut":    func() { f.AttachmentCut = true },
		"attachment status": func() { f.AttachmentStatus, f.AttachmentTimes = status, times },
		"attachment URL":    func() { f.AttachmentURL = w.pick("absolute", "signed", "inside") },
		"hash":              func() { f.WrongHash = true },
		"reads":             func() { f.RefuseRead = []string{w.pick("Practitioner", "Medication", "Patient", "Binary", typ)} },
	}
	names := slices.Sorted(maps.Keys(dials))
	for range 1 + w.r.IntN(3) {
		name := w.pick(names...)
		dials[name]()
		w.note("fault: %s (%s, %d, %d times)", name, typ, status, times)
		w.kinds++
	}
	if f.AttachmentURL == "evil" {
		f.AttachmentURL = ""
	}
	return f
}

// subsetted is a stripped copy of a record that is there.
func (w *world) subsetted(typ string) string {
	id := "none"
	if ids := w.ids(typ); len(ids) > 0 {
		id = w.pick(ids...)
	}
	return `{"resourceType":"` + typ + `","id":"` + id + `","meta":{"tag":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}]}}`
}

// faulty reports whether the EMR breaks its word now.
func (w *world) faulty() bool {
	f, b := w.emr.Faults(), w.base
	for _, x := range []*fakeemr.Faults{&f, &b} {
		x.OnKickOff, x.OnPoll, x.OnFile, x.OnDelete, x.OnPage, x.OnAttachment = nil, nil, nil, nil, nil, nil
	}
	return f.EmptyExport || len(f.EmptyTypes) > 0 || f.HalfGroup || f.EmptySearch || f.DropEntries > 0 || f.GroupSinceBug ||
		f.Extra != nil || f.SearchCap > 0 || f.CountWrong != 0 || f.AttachmentURL != b.AttachmentURL || f.WrongHash
}

var (
	urls   = regexp.MustCompile(`"url":"[^"]*(Binary|attachment)/[^"]*"|"url":"http://169[^"]*"`)
	hashes = regexp.MustCompile(`"hash":"[^"]*"`)
)

// plain is a line without what dials change in it without a new version.
func plain(typ, line string) string {
	if typ != "DocumentReference" && typ != "DiagnosticReport" {
		return line
	}
	return hashes.ReplaceAllString(urls.ReplaceAllString(line, `"url":""`), `"hash":""`)
}

// blind says why a client cannot know that a run lacks something of a type: the
// list of what "complete" does not promise. A whole listing heals each of them.
func (w *world) blind(rep *fhirsync.Report, row fhirsync.TypeRow) string {
	for i := range w.met { // in any attempt of the run
		if why := blindBy(&w.met[i], rep, row); why != "" {
			return why
		}
	}
	return ""
}

func blindBy(f *fakeemr.Faults, rep *fhirsync.Report, row fhirsync.TypeRow) string {
	bulk, search := row.Mode == "bulk", row.Mode == "search" || row.Mode == "listing"
	uncounted := rep.Profile.Count != fhirsync.Yes && rep.Profile.Total != fhirsync.Yes
	switch {
	case bulk && (f.EmptyExport || slices.Contains(f.EmptyTypes, row.Type)):
		return "an export that gives no changes looks like a quiet day (P64)"
	case bulk && f.HalfGroup:
		return "an export that leaves patients out of the changes looks like a quiet day (F7)"
	case bulk && f.GroupSinceBug:
		return "F5: only a whole listing shows it"
	case search && f.EmptySearch && (row.Server < 0 || row.Mirror == 0):
		return "a server that finds nothing, of a type of which nothing is here, or does not count (F16)"
	case search && f.DropEntries > 0 && (uncounted || f.CountWrong < 0):
		return "entries left out by a server that does not count, or counts too low"
	}
	return ""
}

// mirrored reads what the mirror shows of a type.
func (w *world) mirrored(typ string) map[string]string {
	snap, err := w.m.Now()
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	err = snap.Each(w.t.Context(), "emr", typ, func(id string, raw []byte) error {
		out[id] = plain(typ, string(raw))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// check compares a run's report and the mirror with the truth.
func (w *world) check(rep *fhirsync.Report) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note("run %d: %s; %d gaps; %s", rep.Run, rep.Verdict, rep.GapCount, troubled(rep))
	switch rep.Verdict {
	case fhirsync.Complete:
		w.complete++
	case fhirsync.WithGaps:
		w.gaps++
	case fhirsync.HeldVerdict:
		w.held++
	case fhirsync.Interrupted:
		w.interrupted++
	}
	w.checkSums(rep)
	cursors, err := w.m.Cursors("emr")
	if err != nil {
		w.t.Fatal(err)
	}
	claims := map[string]time.Time{}
	moved := map[string]bool{}
	for _, c := range cursors {
		if c.Since.After(w.now()) {
			w.wrong("run %d: the cursor of %s is in the future", rep.Run, c.Type)
		}
		if c.Since.After(claims[c.Type]) {
			claims[c.Type] = c.Since
		}
		moved[c.Type] = moved[c.Type] || c.Run == rep.Run
	}
	for _, typ := range w.emr.Listed() {
		r := row(rep, typ)
		if why := w.blind(rep, r); why != "" && moved[typ] {
			w.blinded[typ] = why
			w.tally.blind++
		} else if r.Full && moved[typ] {
			delete(w.blinded, typ)
			w.whole[typ] = w.planned
		}
		w.checkType(rep, typ, claims[typ], moved[typ])
	}
	w.checkAttachments(rep)
	gaps, err := w.m.Gaps("emr")
	if err != nil || len(gaps) != rep.GapCount {
		w.wrong("run %d: %d gaps in the ledger, %d in the report; %v", rep.Run, len(gaps), rep.GapCount, err)
	}
}

// checkSums adds the rows up.
func (w *world) checkSums(rep *fhirsync.Report) {
	w.t.Helper()
	for _, r := range rep.Types {
		w.lines += r.Lines
		if sum := r.New + r.Changed + r.Unchanged + r.Duplicates + r.Quarantine + r.Subsetted; sum != r.Lines || r.New < 0 || r.Changed < 0 || r.Duplicates < 0 {
			w.wrong("run %d: %s: %d lines, but %d of them are accounted for: %+v", rep.Run, r.Type, r.Lines, sum, r.Count)
		}
	}
}

// checkType looks whether a cursor passed anything, and whether what it did not
// pass is said.
func (w *world) checkType(rep *fhirsync.Report, typ string, claim time.Time, moved bool) {
	w.t.Helper()
	r := row(rep, typ)
	named := r.Gap != "" || r.Held != "" || r.Waits != 0
	if !moved && (!named || rep.Verdict == fhirsync.Complete) && !rep.Interrupted() && rep.Verdict != fhirsync.FailedRun {
		w.wrong("run %d: %q, the cursor of %s stayed, and no gap says why: %+v", rep.Run, rep.Verdict, typ, r)
	}
	if moved && r.Gap != "" && r.GapKind != "line" {
		w.wrong("run %d: the cursor of %s passed a gap: %s", rep.Run, typ, r.Gap)
	}
	if claim.IsZero() {
		return
	}
	have := w.mirrored(typ)
	for id, states := range w.hist[typ] {
		line, there := have[id]
		delete(have, id)
		if why := w.lacks(typ, states, line, there, claim); why != "" && w.blinded[typ] == "" {
			w.wrong("run %d: %q: the cursor of %s is at %s, and %s: %s\n\tthe mirror has %.300s\n\tthe EMR had %.300v", rep.Run, rep.Verdict, typ,
				claim.Format("02 15:04:05"), id, why, line, states)
		}
	}
	if len(have) > 0 {
		w.wrong("run %d: the mirror shows %s that the EMR never had: %v", rep.Run, typ, slices.Sorted(maps.Keys(have)))
	}
}

// lacks says what is wrong with a record as the mirror has it, given what the
// EMR had of it at the time of the claim and later; "" if nothing is.
func (w *world) lacks(typ string, states []state, line string, there bool, claim time.Time) string {
	at := -1 // the state at the claim
	for i, s := range states {
		if !s.at.After(claim) {
			at = i
		}
	}
	// A silent edit is seen only by a whole listing.
	for at > 0 && states[at].silent && states[at].at.After(w.whole[typ]) {
		at--
	}
	from := max(at, 0)
	if slices.ContainsFunc(states[at+1:], func(s state) bool { return !s.silent && s.at.After(claim) }) {
		return "" // it changed behind the claim: the next run is told so
	}
	for _, s := range states[from:] {
		if there && s.line == line || !there && s.line == "" {
			return ""
		}
	}
	switch {
	case there && slices.ContainsFunc(states[from:], func(s state) bool { return s.line == "" }):
		return "" // a deletion that was not told is found by whole listings: heal looks
	case !there:
		return "it is missing, though the EMR has it"
	}
	for i, s := range states {
		if s.line == line {
			return "the mirror is at version " + string(rune('0'+i)) + " of it, which is too old"
		}
	}
	return "the mirror has what the EMR never had"
}

// checkAttachments looks whether each attachment that a record names is there or
// a gap.
func (w *world) checkAttachments(rep *fhirsync.Report) {
	w.t.Helper()
	if rep.Verdict == fhirsync.FailedRun {
		return
	}
	snap, err := w.m.Now()
	if err != nil {
		w.t.Fatal(err)
	}
	w.attachments(w.t, func(k store.Key, a attachment) {
		_, body, err := snap.Attachment(w.t.Context(), k, a.URL)
		if err == nil {
			body.Close()
			return
		}
		if i := strings.LastIndex(a.URL, "Binary/"); i >= 0 {
			held, err := w.m.Holds(store.Key{Source: "emr", Type: "Binary", ID: a.URL[i+len("Binary/"):]})
			if err == nil && held {
				return
			}
		}
		said := slices.ContainsFunc(rep.Gaps, func(g index.Gap) bool {
			return g.Kind == "attachment" && (g.Ref == k.Type+"/"+k.ID || g.Ref == "")
		})
		if rep.Verdict == fhirsync.Complete || !said {
			w.wrong("run %d: %q: %s names an attachment that is not there, and no gap says so: %s", rep.Run, rep.Verdict, k, a.URL)
		}
	})
}

// equalNow fails unless the mirror shows exactly what the EMR has.
func (w *world) equalNow() {
	w.t.Helper()
	for _, typ := range w.emr.Listed() {
		want := map[string]string{}
		err := w.emr.EachAt(typ, w.now(), func(id string, line []byte) error {
			want[id] = plain(typ, string(line))
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		have := w.mirrored(typ)
		for id, line := range want {
			if have[id] != line {
				w.wrong("healed: %s/%s: the mirror has %.200q, the EMR %.200q; %.600v", typ, id, have[id], line, w.hist[typ][id])
			}
			delete(have, id)
		}
		if len(have) > 0 {
			w.wrong("healed: the mirror shows %s that the EMR does not have: %v", typ, slices.Sorted(maps.Keys(have)))
		}
	}
}

var references = regexp.MustCompile(`"reference":"(Practitioner|Medication)/([^"]+)"`)

// named fails unless the records of hidden types that others name are there.
func (w *world) named() {
	w.t.Helper()
	for _, typ := range w.emr.Listed() {
		for _, line := range w.mirrored(typ) {
			for _, m := range references.FindAllStringSubmatch(line, -1) {
				if held, err := w.m.Holds(store.Key{Source: "emr", Type: m[1], ID: m[2]}); err != nil || !held {
					w.wrong("healed: %s/%s is named and not there; %v", m[1], m[2], err)
					return
				}
			}
		}
	}
}
