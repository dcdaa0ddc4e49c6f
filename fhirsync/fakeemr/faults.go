package fakeemr

import "time"

// Faults are the dials: the zero value is an EMR that keeps to the
// specifications. Numbers are those of the project's protocol notes.
type Faults struct {
	DateSkew           time.Duration // the Date header is off by this (P8)
	ExpiredCertificate bool          // TLS with an expired certificate (P115)
	FHIRVersion        string        // instead of 4.0.1 in the capability statement (P6)
	HTML               string        // path prefix below the base that answers HTML with 200 (P33)
	NoSmartConfig      int           // status of smart-configuration instead of 200 (P2, P4)

	Algs           []string // signature algorithms it announces and takes; nil: RS384, ES384 (P10)
	TokenStatus    int      // status of the next token replies instead of 200
	TokenError     string   // RFC 6749 code with TokenStatus (P19)
	TokenHTML      bool     // HTML with 200 at the token endpoint (P19)
	TokenRedirect  bool     // 307 from the token endpoint to evil (F10)
	TokenBurn      int      // so many token calls note the jti and then answer 502 (P12)
	GrantOnly      []string
	Unauthorized   string // path prefix below the base that answers 401 for ever (F18)
	Throttle       int    // so many requests to the base answer ThrottleStatus
	ThrottleStatus int    // 0: 429
	RetryAfter     string // Retry-After of throttled replies and of polls (F22)
	ThrottlePrefix string // only below this path

	LateTransaction   bool          // transactionTime is the end of the job (F1)
	TransactionFormat string        // Go layout of transactionTime; "" is RFC 3339 (P62)
	LateCommit        time.Duration // changes are stamped that much before they can be seen (F2)
	HalfGroup         bool          // half of the patients are gone from every export (F7)
	IgnoreSince       bool          // _since is ignored (P49)
	NoDeleted         bool          // the manifest has no deleted list (P61)
	EmptyExport       bool          // 200 with an empty output list (F16)
	EmptyTypes        []string      // these types export no line (F16)
	RefuseTypes       []string      // 400 naming the type at kick-off (P48)
	PostOnly          bool          // kick-off by GET answers 405 (P44)
	LostKickOff       int           // so many kick-offs make a job and answer 502 (F21)
	SingleSlot        bool          // a second job is refused with 429 (P47)
	NoLocation        bool          // 202 without Content-Location (P46)
	StatusURL         string        // Content-Location instead of the true one (F9)
	RelativeURLs      bool          // relative Content-Location and file URLs (P46, P65)
	Dialect4          bool          // manifest of the 4.0 draft (P61)
	ManifestHTML      bool          // HTML with 200 instead of the manifest (P33)
	JobGone           bool          // every status request answers 404 (P59)
	ErrorFile         string        // text of an error OperationOutcome naming ErrorType (F14)
	ErrorType         string

	FileRedirect  string   // storage, evil, http, loop: 307 from file URLs; chain: storage, then evil (F8, P67)
	FileURL       string   // file URL in the manifest instead of the true one (F9)
	NoCount       bool     // the manifest gives no counts
	Gzip          string   // plain (Content-Encoding), hidden, double, crc, bomb (F12)
	Truncate      string   // line: mid-line, newline: at a line end, close framing (F11)
	TruncateTimes int      // how many files are cut; 0 with Truncate set: all
	TruncateType  string   // only files of this type; "": any
	Extra         []string // lines put at the start of each file of ExtraType (F13, P72)
	ExtraType     string
	BOM, CRLF     bool
	NoLastNewline bool
	ExpireFiles   int    // so many file requests answer 410 until the manifest is read again (P76)
	FileStatus    int    // status of file requests of FileStatusType, for ever
	FileType      string // also the type of a bomb
	Drip          int    // bytes per second of file bodies

	GroupSinceBug bool // Group export with _since leaves out patients whose Patient is unchanged (F5)

	// How searches understand what they are asked for.
	IgnoreLastUpdated bool     // _lastUpdated is ignored; the self link is honest (F4)
	LyingSelf         bool     // _lastUpdated is ignored; the self link says it was used (F4)
	StrictRefused     bool     // 400 for Prefer: handling=strict (P88)
	NoSummary         bool     // _summary=count answers 400 (P99)
	NoTotal           bool     // _total is ignored and no page has a total
	CountWrong        int      // added to every total
	CountIgnored      bool     // _count is ignored
	CountCap          int      // pages of at most so many
	SortIgnored       bool     // _sort is ignored; the self link is honest
	EmptySearch       bool     // 200 with an empty Bundle and total 0 (F16)
	DropEntries       int      // one entry in so many is left out of the pages, not of the total (F17)
	SearchCap         int      // a search that matches more gives only the first so many, as total too (F25)
	SearchCapCode     string   // code of the OperationOutcome that says so; "": 59133
	SearchCapFatal    bool     // its severity is fatal, not information
	RefuseRead        []string // Type or Type/id that answers 403 when it is read (P104)

	// What is wrong with the pages of searches and histories.
	OffsetPaging    bool   // pages are cut anew from the live list (P90, F24)
	NextExpires     int    // pages from this one on answer 410 (P89, F24)
	NextExpireTimes int    // so often, then never again; 0: once
	NextLoop        bool   // next leads back to the same page
	NextDangling    bool   // the last page has a next link that answers 404
	EmptyMiddle     bool   // an empty page with a next link behind the first page
	NextURL         string // evil, http, inside, other, internal: where next links lead (F9)
	Pretty          bool   // pages are indented

	// PageStatus, PageHTML and PageCut hold for page PageN (0: every page) of
	// PageType ("": any), PageTimes times (0: for ever).
	PageStatus int  // the page answers this status
	PageHTML   bool // a login page with 200
	PageCut    bool // the body ends early, without an error of HTTP
	PageType   string
	PageN      int
	PageTimes  int

	// What is wrong with attachments. All but the last three hold for Binary and
	// for signed links.
	BinaryMode       string        // json: always the resource; 406: raw bytes are refused (P106)
	AttachmentHTML   bool          // a login page with 200 (F30)
	AttachmentType   string        // Content-Type of replies instead of the true one
	AttachmentCut    bool          // the body ends early, without an error of HTTP (F30)
	AttachmentStatus int           // the status of replies
	AttachmentTimes  int           // for so many, then no more; 0: for ever
	SignedLife       time.Duration // how long a signed link lives; 0: a minute (P110)
	AttachmentURL    string        // absolute, signed, evil, inside: what attachment.url says
	WrongHash        bool          // attachment.hash is of other bytes (P107)

	// Hooks are called before the reply is made; n counts from 1.
	OnKickOff, OnPoll, OnFile, OnDelete func(n int)
	OnPage, OnAttachment, OnRead        func(n int)
}

// Set replaces all faults.
func (e *EMR) Set(f Faults) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = f
}

// Faults returns the faults that are set.
func (e *EMR) Faults() Faults {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.faults
}

// spend uses up one of a number of faults and reports whether there was one.
func (e *EMR) spend(n func(*Faults) *int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := n(&e.faults)
	if *c <= 0 {
		return false
	}
	*c--
	return true
}
