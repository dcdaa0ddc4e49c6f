package access_test

import (
	"strings"
	"testing"

	"chartcellar/store/access"
)

// TestCan is the whole table of viewer.md 0.12 and 5.4: each capability for the
// owner, doctor, manager, manager with charts, manager with charts and printing,
// staff, staff with printing, and IT with every grant there is.
func TestCan(t *testing.T) {
	const table = `
		see status           yes yes yes yes yes yes yes yes
		see reports          yes yes yes yes yes -   -   yes
		see charts           yes yes -   yes yes yes yes -
		see sensitive        yes yes -   -   -   -   -   -
		print charts         yes yes -   -   yes -   yes -
		export               yes yes -   -   -   -   -   -
		run backups          yes yes yes yes yes -   -   yes
		edit schedule        yes yes yes yes yes -   -   yes
		manage copies        yes yes yes yes yes -   -   yes
		answer for copies    yes -   yes yes yes -   -   -
		try restore          yes yes -   -   -   -   -   -
		manage connection    yes yes -   -   -   -   -   yes
		manage settings      yes yes -   -   -   -   -   yes
		manage accounts      yes -   -   -   -   -   -   -
		manage IT accounts   yes -   -   -   -   -   -   yes
		manage keys          yes -   -   -   -   -   -   -
		hand over            yes yes -   -   -   -   -   -
		prepare hand-over    yes yes yes yes yes -   -   yes
		decide held          yes yes -   -   -   -   -   -
		hide patients        yes yes -   -   -   -   -   -
		see access log       yes yes -   -   -   -   -   -
		see own access log   yes yes yes yes yes yes yes yes
		see system log       yes yes yes yes yes -   -   yes
		emergency access     -   -   -   yes yes yes yes -
		review emergency     yes yes -   -   -   -   -   -
		change own password  yes yes yes yes yes yes yes yes`
	who := []struct {
		role   access.Role
		grants access.Grants
	}{
		{access.Owner, 0}, {access.Doctor, 0}, {access.Manager, 0}, {access.Manager, access.GrantCharts},
		{access.Manager, access.GrantCharts | access.GrantPrint}, {access.Staff, 0},
		{access.Staff, access.GrantPrint}, {access.IT, ^access.Grants(0)},
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != len(access.Capabilities()) {
		t.Errorf("the table has %d rows, there are %d capabilities", len(lines), len(access.Capabilities()))
	}
	seen := map[access.Capability]bool{}
	for _, line := range lines {
		f := strings.Fields(line)
		c := access.Capability(strings.Join(f[:len(f)-len(who)], " "))
		seen[c] = true
		for i, cell := range f[len(f)-len(who):] {
			if got := access.Can(who[i].role, who[i].grants, c); got != (cell == "yes") {
				t.Errorf("Can(%s, %b, %s) = %v, want %s", who[i].role, who[i].grants, c, got, cell)
			}
		}
	}
	for _, c := range access.Capabilities() {
		if !seen[c] {
			t.Errorf("no row for %s", c)
		}
		if access.Can("nobody", ^access.Grants(0), c) || access.Can("", 0, c) {
			t.Errorf("an unknown role may %s", c)
		}
	}
	for _, r := range access.Roles() {
		if access.Can(r, ^access.Grants(0), "fly") {
			t.Errorf("%s may do what does not exist", r)
		}
	}
}

// TestGrantsNeverReachIT: no combination of grants opens a chart to IT, and a
// grant changes nothing for a role that it is not for.
func TestGrantsNeverReachIT(t *testing.T) {
	for _, r := range access.Roles() {
		for g := range access.Grants(8) {
			for _, c := range access.Capabilities() {
				if access.Can(r, g, c) != access.Can(r, g&access.GrantsFor(r), c) {
					t.Errorf("a grant that is not for %s gives %s", r, c)
				}
			}
		}
	}
	if access.GrantsFor(access.IT) != 0 {
		t.Error("there is a grant for IT")
	}
}

// TestMayManage: whoever may see charts is made, reset or raised by an owner.
func TestMayManage(t *testing.T) {
	for _, actor := range access.Roles() {
		for _, after := range access.Roles() {
			for _, before := range append(access.Roles(), "") {
				var b *access.Account
				if before != "" {
					b = &access.Account{Role: before}
				}
				got := access.MayManage(actor, 0, b, access.Account{Role: after})
				want := actor == access.Owner ||
					actor == access.IT && after == access.IT && (before == "" || before == access.IT)
				if got != want {
					t.Errorf("MayManage(%s: %q -> %s) = %v, want %v", actor, before, after, got, want)
				}
			}
		}
	}
	if access.MayManage(access.IT, 0, nil, access.Account{Role: access.IT, Grants: access.GrantCharts}) {
		t.Error("IT may give a grant")
	}
}

func TestNeedsStepUp(t *testing.T) {
	for _, c := range []access.Capability{access.Export, access.HandOver, access.ManageKeys,
		access.ManageAccounts, access.ManageITAccounts, access.HidePatients} {
		if !access.NeedsStepUp(c) {
			t.Errorf("%s needs no step-up", c)
		}
	}
	if access.NeedsStepUp(access.SeeCharts) {
		t.Error("seeing a chart needs step-up")
	}
}
