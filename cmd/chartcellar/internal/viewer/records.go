package viewer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"chartcellar/store/access"
	"chartcellar/store/chart"
)

// recordRoutes are the pages of one record, and those of a chart that are about all of its
// records.
func recordRoutes() []Route {
	return []Route{
		{Method: get, Path: "/record/{ref}", Who: access.SeeCharts, serve: (*Server).serveRecord},
		{Method: get, Path: "/record/{ref}/source", Who: access.SeeCharts, serve: (*Server).serveSource},
		{Method: get, Path: "/record/{ref}/versions", Who: access.SeeCharts, serve: (*Server).serveVersions},
		{Method: get, Path: "/record/{ref}/changed", Who: access.SeeCharts, serve: (*Server).serveChanged},
		{Method: get, Path: "/record/{ref}/used", Who: access.SeeCharts, serve: (*Server).serveUsed},
		{Method: get, Path: "/record/{ref}/from", Who: access.SeeCharts, serve: (*Server).serveOrigin},
		{Method: post, Path: "/record/{ref}/file", Who: access.Export, serve: (*Server).doRecordFile},
		{Method: get, Path: "/chart/{ref}/timeline", Who: access.SeeCharts, serve: (*Server).serveTimeline},
		{Method: post, Path: "/chart/{ref}/timeline", Who: access.SeeCharts, serve: (*Server).doTimeline},
		{Method: get, Path: "/chart/{ref}/changes", Who: access.SeeCharts, serve: (*Server).serveChartChanges},
	}
}

// A recordPage is one page about a record.
type recordPage struct {
	Record
	refer  func(source, ref string) Ref
	Tab    string         // of the address; "": the card
	V      *RecordVersion // the one that is shown; nil: none can be
	Tree   []cardRow      // of the card
	Twice  bool           // a name stands twice in one of its objects
	Text   string         // HTML: what the EMR wrote for reading, made safe; "": nothing, or too much
	Tests  []link         // of a result that stands: all results of the same test
	Files  []link         // that the record holds or names
	Pretty source         // the JSON with line breaks
	Exact  source         // byte for byte
	Diff   *recordDiff
	Uses   *Uses
}

// Head implements headed: a record of no patient has no banner.
func (p *recordPage) Head() *ChartHead {
	if p.Ref == "" {
		return nil
	}
	return &p.ChartHead
}

// At is the address of a page of the record, of the version that is shown if it was
// chosen.
func (p *recordPage) At(page string) string {
	q := url.Values{}
	if p.V != nil && p.V.N != p.Shown+1 {
		q.Set("version", strconv.Itoa(p.V.N))
	}
	return p.address(page, q)
}

// Number is the address of a page of the record, of version n.
func (p *recordPage) Number(page string, n int) string {
	return p.address(page, url.Values{"version": {strconv.Itoa(n)}})
}

// Between is the address of what changed between two versions.
func (p *recordPage) Between(from, to int) string {
	return p.address("changed", url.Values{"from": {strconv.Itoa(from)}, "to": {strconv.Itoa(to)}})
}

func (p *recordPage) address(page string, q url.Values) string {
	address := "/record/" + url.PathEscape(string(p.Self))
	if page != "" {
		address += "/" + page
	}
	if p.AsOf != "" {
		q.Set("asof", p.AsOf)
	}
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	return address
}

// Other is the address of another record, named as Type/id.
func (p *recordPage) Other(ref string) string {
	return p.Of("/record/" + url.PathEscape(string(p.refer(p.Source, ref))))
}

// Pages are the pages of the record.
func (p *recordPage) Pages() [][2]string {
	return [][2]string{{"", "Card"}, {"source", "Source"}, {"versions", "Versions"}, {"changed", "What changed"},
		{"used", "Where it is used"}, {"from", "Where it came from"}}
}

// record makes the page of a record, of the version that the address asks for.
func (s *Server) record(r *request, tab, recorded string) (*recordPage, error) {
	at, err := place(r)
	if err != nil {
		return nil, err
	}
	rec, err := s.o.Backend.Record(r.Context(), r.actor(), at, recorded)
	if err != nil {
		return nil, err
	}
	return s.recordPage(r, rec, tab)
}

func (s *Server) recordPage(r *request, rec Record, tab string) (*recordPage, error) {
	p := &recordPage{Record: rec, refer: s.o.Backend.Refer, Tab: tab}
	n := p.Shown + 1
	if err := numberIn(r.URL.Query(), "version", &n, 1, len(p.Versions)); err != nil {
		return nil, err
	}
	if n > 0 {
		p.V = &p.Versions[n-1]
	}
	return p, nil
}

// Readable reports whether the version that is shown is a record with its bytes.
func (p *recordPage) Readable() bool { return p.V != nil && !p.V.Deleted && !p.V.Lost }

// A cardRow is a branch of a card as a template wants it.
type cardRow struct {
	Name, Value, Note string
	Href              string // of a reference
	Anchor            string // of a contained record
	Fold              bool
	Leaves            int
	Kids              []cardRow
}

// rows makes the rows of a card.
func (p *recordPage) rows(list []chart.Branch) []cardRow {
	var out []cardRow
	for _, b := range list {
		row := cardRow{Name: b.Name, Value: b.Value, Note: b.Note, Fold: b.Fold, Leaves: b.Leaves, Kids: p.rows(b.Kids)}
		if b.Inside > 0 {
			row.Anchor = "inside-" + strconv.Itoa(b.Inside)
		}
		if b.Link != nil {
			row.Href, row.Note = p.Link(b.Link), p.says(b.Link)
		}
		out = append(out, row)
	}
	return out
}

// Link is where a reference leads; "" if nowhere.
func (p *recordPage) Link(l *chart.Link) string {
	switch {
	case l.Inside > 0:
		return p.At("") + "#inside-" + strconv.Itoa(l.Inside)
	case l.Type != "" && chart.Own(l.Base, p.Base):
		return p.Other(l.Type + "/" + l.ID)
	}
	return ""
}

// named is what the copy has of what a reference names; of what is another server's,
// nothing: there it is another record.
func (p *recordPage) named(l *chart.Link) (Named, bool) {
	if !chart.Own(l.Base, p.Base) {
		return Named{}, false
	}
	n, ok := p.Named[l.Type+"/"+l.ID]
	return n, ok
}

// says is what stands beside a reference on a card: what is named, or that it is another
// server's.
func (p *recordPage) says(l *chart.Link) string {
	if other := l.Elsewhere(p.Base); other != "" {
		return other
	}
	n, _ := p.named(l)
	return n.Title
}

// longNarrative is from how many bytes on a narrative is not framed: the card has its words.
const longNarrative = 100_000

func (s *Server) serveRecord(r *request) error {
	p, err := s.record(r, "", "card")
	if err != nil {
		return err
	}
	if p.Readable() {
		tree, err := chart.CardTree(p.V.Raw)
		if err != nil {
			return err
		}
		p.Tree, p.Twice = p.rows(tree), chart.Twice(p.V.Raw)
		if text := chart.Narrative(p.V.Raw).HTML(); len(text) <= longNarrative {
			p.Text = text
		}
		if p.V.N == p.Shown+1 {
			p.Files = p.files()
		}
		if p.Ref != "" && !p.Removed && p.V.N == p.Shown+1 {
			p.Tests = testsOf(&p.ChartHead, s.o.Backend.Seal, chart.Resource{Type: p.Type, ID: p.ID, Raw: p.V.Raw})
		}
	}
	return s.render(r, http.StatusOK, "record", typeWords(p.Type), p)
}

// files are the documents of the version that stands.
func (p *recordPage) files() (list []link) {
	files, err := chart.ListAttachments(chart.Resource{Type: p.Type, ID: p.ID, Raw: p.V.Raw}, nil)
	if err != nil {
		return nil // the card says what is wrong with the record
	}
	for _, f := range files {
		words := f.Title
		if words == "" {
			words = f.Where
		}
		list = append(list, link{Address: p.Of(documentAddress(p.Self, f.N)), Words: words})
	}
	return list
}

// Leaves is how many values the card has.
func (p *recordPage) Leaves() (n int) {
	for _, row := range p.Tree {
		n += row.Leaves
	}
	return n
}

// shownSource is how many bytes of a record are written on a page.
const shownSource = 1 << 20

// A source is JSON on a page.
type source struct {
	Text  string
	Bytes int // of them; more than stand in Text if it is cut
	Cut   bool
}

func cutSource(b []byte) source {
	out := source{Text: string(b), Bytes: len(b)}
	if len(b) > shownSource {
		out.Text, out.Cut = string(bytes.ToValidUTF8(b[:shownSource], nil)), true
	}
	return out
}

// prettyJSON writes JSON with line breaks; what is no JSON, or holds a large file, stays
// as it is.
func prettyJSON(raw []byte) source {
	var b bytes.Buffer
	if len(raw) > 4*shownSource || json.Indent(&b, raw, "", "  ") != nil {
		return cutSource(raw)
	}
	return cutSource(b.Bytes())
}

func (s *Server) serveSource(r *request) error {
	p, err := s.record(r, "source", "source")
	if err != nil {
		return err
	}
	if p.V != nil && !p.V.Lost {
		p.Pretty, p.Exact = prettyJSON(p.V.Raw), cutSource(p.V.Raw)
	}
	return s.render(r, http.StatusOK, "recordsource", typeWords(p.Type), p)
}

// doRecordFile gives the bytes of a version as a file.
func (s *Server) doRecordFile(r *request) error {
	at := Place{Ref: Ref(r.PathValue("ref"))}
	var err error
	if at.AsOf, err = dayOf(r.PostFormValue("asof")); err != nil {
		return err
	}
	n, err := strconv.Atoi(r.PostFormValue("version"))
	if err != nil {
		return ErrNotFound
	}
	b, err := s.o.Backend.Bytes(r.Context(), r.actor(), at, n)
	if err != nil {
		return err
	}
	return s.sendJSON(r, "record.json", b)
}

func (s *Server) serveVersions(r *request) error {
	p, err := s.record(r, "versions", "versions")
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "recordversions", typeWords(p.Type), p)
}

func (s *Server) serveOrigin(r *request) error {
	p, err := s.record(r, "from", "where it came from")
	if err != nil {
		return err
	}
	return s.render(r, http.StatusOK, "recordfrom", typeWords(p.Type), p)
}

// A recordDiff is what changed between two versions.
type recordDiff struct {
	From, To *RecordVersion
	Changes  []chart.Change
	Compared bool // both are records that can be read
	JSON     [2]source
}

// serveChanged compares two versions; those that the address asks for, else the last two.
func (s *Server) serveChanged(r *request) error {
	p, err := s.record(r, "changed", "what changed")
	if err != nil {
		return err
	}
	if len(p.Versions) > 1 {
		if p.Diff, err = p.compare(r.URL.Query()); err != nil {
			return err
		}
	}
	return s.render(r, http.StatusOK, "recordchanged", typeWords(p.Type), p)
}

func (p *recordPage) compare(q url.Values) (*recordDiff, error) {
	from, to := len(p.Versions)-1, len(p.Versions)
	for name, n := range map[string]*int{"from": &from, "to": &to} {
		if err := numberIn(q, name, n, 1, len(p.Versions)); err != nil {
			return nil, err
		}
	}
	d := &recordDiff{From: &p.Versions[from-1], To: &p.Versions[to-1]}
	d.Compared = !d.From.Deleted && !d.From.Lost && !d.To.Deleted && !d.To.Lost
	for i, v := range []*RecordVersion{d.From, d.To} {
		if !v.Lost {
			d.JSON[i] = prettyJSON(v.Raw)
		}
	}
	if !d.Compared {
		return d, nil
	}
	var err error
	if d.Changes, err = chart.Diff(d.From.Raw, d.To.Raw); err != nil {
		return nil, fmt.Errorf("compare two versions: %w", err)
	}
	chart.SaidFirst(d.Changes)
	return d, nil
}

// bookkeeping says how many of the changes of a record are none of what it says; "" if
// none is.
func bookkeeping(list []chart.Change) string {
	n := 0
	for _, c := range list {
		if c.Bookkeeping() {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case len(list):
		return "only in what the EMR notes about the record (meta)"
	}
	return strconv.Itoa(n) + " of them only in what the EMR notes about the record (meta)"
}

func (s *Server) serveUsed(r *request) error {
	at, err := place(r)
	if err != nil {
		return err
	}
	uses, err := s.o.Backend.Uses(r.Context(), r.actor(), at, r.URL.Query().Get("wide") != "")
	if err != nil {
		return err
	}
	p, err := s.recordPage(r, uses.Record, "used")
	if err != nil {
		return err
	}
	p.Uses = &uses
	return s.render(r, http.StatusOK, "recordused", typeWords(p.Type), p)
}

// Wide is the address of the same page for the whole copy.
func (p *recordPage) Wide() string { return p.address("used", url.Values{"wide": {"1"}}) }

// Called is what a record is called that another names.
func (p *recordPage) Called(l chart.Link) string {
	if n, _ := p.named(&l); n.Title != "" {
		return n.Title
	}
	return l.Display
}

// Held says whether the copy holds what a reference names.
func (p *recordPage) Held(l chart.Link) string {
	n, ok := p.named(&l)
	switch {
	case l.Elsewhere(p.Base) != "":
		return l.Elsewhere(p.Base)
	case l.Inside > 0:
		return "inside this record"
	case l.Type == "":
		return "names no record by its id"
	case !ok:
		return "no"
	case n.Removed:
		return "yes; removed at the EMR"
	}
	return "yes"
}

// missingWords say how a removed record is told from one that is hidden.
func missingWords(v RecordVersion) string {
	if v.Missing {
		return "the EMR says it is not there; it may be hidden"
	}
	return "the EMR says it was deleted"
}

// Standing says in words what a version is to the copy.
func (p *recordPage) Standing(v RecordVersion) string {
	switch {
	case v.Lost:
		return "lost: no copy had its bytes any more"
	case v.Deleted && v.Counts:
		return "removed at the EMR: " + missingWords(v)
	case v.Why != "":
		return "does not count: " + v.Why
	case v.N == p.Shown+1 && !p.Removed:
		return "stands: this is the record now"
	case v.N == p.Shown+1:
		return "the last before the EMR removed it"
	}
	return "stood until the next one"
}

// Newest returns the versions, the newest first.
func (p *recordPage) Newest() []RecordVersion {
	list := slices.Clone(p.Versions)
	slices.Reverse(list)
	return list
}
