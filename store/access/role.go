package access

import "slices"

// A Role is what an account is for. Its name is part of the format.
type Role string

// The roles (viewer.md 0.12).
const (
	Owner   Role = "owner"   // everything
	Doctor  Role = "doctor"  // charts, backups, exports; no accounts and no keys
	Manager Role = "manager" // schedule, reports, copies; charts only by a grant
	Staff   Role = "staff"   // charts without what is labelled sensitive
	IT      Role = "IT"      // the machine and its connections; never a chart
)

// Roles returns all roles.
func Roles() []Role { return []Role{Owner, Doctor, Manager, Staff, IT} }

// Valid reports whether r is one of Roles.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// Grants are what an owner gives one account beyond its role; bits.
type Grants uint32

// The grants.
const (
	GrantCharts Grants = 1 << iota // a manager may see charts
	GrantPrint                     // staff, or a manager who sees charts, may print them
)

// GrantsFor returns the grants that mean something for a role. IT has none:
// nothing can let an IT account see a chart.
func GrantsFor(r Role) Grants {
	switch r {
	case Manager:
		return GrantCharts | GrantPrint
	case Staff:
		return GrantPrint
	}
	return 0
}

// A Capability is one thing an account may or may not do. Its text is for logs
// and tests.
type Capability string

// The capabilities.
const (
	SeeStatus        Capability = "see status"          // the sentence, the facts, the last runs
	SeeReports       Capability = "see reports"         // run reports, coverage, growth; no patient in them
	SeeCharts        Capability = "see charts"          // search people, open charts and documents
	SeeSensitive     Capability = "see sensitive"       // records labelled sensitive, and held examples of them
	PrintCharts      Capability = "print charts"        // print what is seen
	Export           Capability = "export"              // files with records
	RunBackups       Capability = "run backups"         // back up now, verify now, pause
	EditSchedule     Capability = "edit schedule"       // when
	ManageCopies     Capability = "manage copies"       // add, make, check and test second copies
	AnswerForCopies  Capability = "answer for copies"   // say whose the place of one is
	TryRestore       Capability = "try restore"         // make a drill: with the sheet one reads charts
	ManageConnection Capability = "manage connection"   // the EMR
	ManageSettings   Capability = "manage settings"     // alerts, storage, TLS, updates
	ManageAccounts   Capability = "manage accounts"     // every account, idle times
	ManageITAccounts Capability = "manage IT accounts"  // accounts of the role IT and no other
	ManageKeys       Capability = "manage keys"         // recovery sheet, key change
	HandOver         Capability = "hand over"           // start and approve a hand-over
	PrepareHandOver  Capability = "prepare hand-over"   // without opening a file of it
	DecideHeld       Capability = "decide held"         // accept or reject a mass change
	HidePatients     Capability = "hide patients"       // who was sent by mistake, from everybody; and show them again
	SeeAccessLog     Capability = "see access log"      // who looked at whom
	SeeOwnAccessLog  Capability = "see own access log"  // what I looked at
	SeeSystemLog     Capability = "see system log"      // events of the system, patients hidden
	EmergencyAccess  Capability = "emergency access"    // see what is sensitive, for a time and a reason
	ReviewEmergency  Capability = "review emergency"    // of somebody else
	ChangePassword   Capability = "change own password" // and end one's own sessions
)

// Capabilities returns all capabilities.
func Capabilities() []Capability {
	return []Capability{SeeStatus, SeeReports, SeeCharts, SeeSensitive, PrintCharts, Export,
		RunBackups, EditSchedule, ManageCopies, AnswerForCopies, TryRestore, ManageConnection, ManageSettings, ManageAccounts,
		ManageITAccounts, ManageKeys, HandOver, PrepareHandOver, DecideHeld, HidePatients, SeeAccessLog,
		SeeOwnAccessLog, SeeSystemLog, EmergencyAccess, ReviewEmergency, ChangePassword}
}

// Can reports whether an account of this role with these grants may do c. It is
// the one place that decides: a role, a capability or a grant that it does not
// know may do nothing.
func Can(r Role, g Grants, c Capability) bool {
	g &= GrantsFor(r)
	charts := r == Owner || r == Doctor || r == Staff || g&GrantCharts != 0
	switch c {
	case SeeStatus, SeeOwnAccessLog, ChangePassword:
		return r.Valid()
	case ManageAccounts, ManageKeys:
		return r == Owner
	case ManageITAccounts:
		return r == Owner || r == IT
	case SeeCharts:
		return charts
	case AnswerForCopies:
		return r == Owner || r == Manager
	case SeeSensitive, Export, HandOver, DecideHeld, HidePatients, SeeAccessLog, ReviewEmergency, TryRestore:
		return r == Owner || r == Doctor
	case PrintCharts:
		return r == Owner || r == Doctor || charts && g&GrantPrint != 0
	case EmergencyAccess: // for those whom SeeSensitive does not let in anyway
		return charts && r != Owner && r != Doctor
	case ManageConnection, ManageSettings:
		return r == Owner || r == Doctor || r == IT
	case SeeReports, RunBackups, EditSchedule, ManageCopies, PrepareHandOver, SeeSystemLog:
		return r == Owner || r == Doctor || r == Manager || r == IT
	}
	return false
}

// NeedsStepUp reports whether a capability needs a password given within the
// last StepUpTime: what opens the door for somebody else, takes records out, or hides them
// from everybody.
func NeedsStepUp(c Capability) bool {
	switch c {
	case Export, HandOver, HidePatients, ManageAccounts, ManageITAccounts, ManageKeys:
		return true
	}
	return false
}

// MayManage reports whether an account of the role actor may make an account
// into what after says. Before is what it is now, nil if it is new. An owner
// may; IT may where both are plain IT accounts; so whoever sees charts is made,
// reset or raised by an owner.
func MayManage(actor Role, actorGrants Grants, before *Account, after Account) bool {
	if Can(actor, actorGrants, ManageAccounts) {
		return true
	}
	plain := func(a Account) bool { return a.Role == IT && a.Grants == 0 }
	return Can(actor, actorGrants, ManageITAccounts) && (before == nil || plain(*before)) && plain(after)
}
