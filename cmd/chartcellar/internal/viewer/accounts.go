package viewer

import (
	"net/http"
	"slices"
	"strings"

	"chartcellar/store/access"
)

// An accountsPage is the list of accounts, and the form for a new one.
type accountsPage struct {
	List  []access.Account
	Roles []access.Role // that who looks may give
	Typed access.NewAccount
	Error string
}

func (s *Server) serveAccounts(r *request) error {
	return s.accountsAnswer(r, http.StatusOK, accountsPage{})
}

func (s *Server) accountsAnswer(r *request, status int, p accountsPage) error {
	list, err := s.o.Access.Accounts()
	if err != nil {
		return err
	}
	p.List = slices.DeleteFunc(list, func(a access.Account) bool { return !r.manages(a) })
	slices.SortFunc(p.List, func(a, b access.Account) int { return strings.Compare(access.Fold(a.Name), access.Fold(b.Name)) })
	p.Roles = r.roles()
	p.Typed.Password = ""
	return s.render(r, status, "accounts", "Accounts", p)
}

// manages reports whether who asks may change an account.
func (r *request) manages(a access.Account) bool {
	return access.MayManage(r.session.Account.Role, r.session.Account.Grants, &a, a)
}

// roles are those that who asks may give.
func (r *request) roles() []access.Role {
	return slices.DeleteFunc(access.Roles(), func(role access.Role) bool {
		return !access.MayManage(r.session.Account.Role, r.session.Account.Grants, nil, access.Account{Role: role})
	})
}

// grants reads the ticks of a form; what does not go with the role is refused later.
func grants(r *request) (g access.Grants) {
	if r.PostFormValue("charts") != "" {
		g |= access.GrantCharts
	}
	if r.PostFormValue("print") != "" {
		g |= access.GrantPrint
	}
	return g
}

func (s *Server) doAccountNew(r *request) error {
	n := access.NewAccount{Name: r.PostFormValue("name"), Display: r.PostFormValue("display"),
		Role: access.Role(r.PostFormValue("role")), Grants: grants(r), Password: r.PostFormValue("password")}
	_, err := s.o.Access.Create(r.Context(), r.token, n)
	if err == nil {
		s.redirect(r, "/settings/accounts?done=new")
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.accountsAnswer(r, status, accountsPage{Typed: n, Error: words})
}

// An accountPage is one account.
type accountPage struct {
	Account access.Account
	Roles   []access.Role
	Own     bool
	Charts  bool // it has the grant
	Print   bool
	Error   string
}

// account returns the account of an address, if who asks may manage it.
func (s *Server) account(r *request) (access.Account, error) {
	a, err := s.o.Access.Account(r.PathValue("id"))
	if err == nil && !r.manages(a) {
		err = access.ErrDenied
	}
	return a, err
}

func (s *Server) serveAccount(r *request) error { return s.accountAnswer(r, http.StatusOK, "") }

func (s *Server) accountAnswer(r *request, status int, wrong string) error {
	a, err := s.account(r)
	if err != nil {
		return err
	}
	return s.render(r, status, "account", "Account of "+a.Display, accountPage{Account: a, Roles: r.roles(), Error: wrong,
		Own: a.ID == r.session.Account.ID, Charts: a.Grants&access.GrantCharts != 0, Print: a.Grants&access.GrantPrint != 0})
}

func (s *Server) doAccount(r *request) error {
	a, err := s.account(r)
	if err != nil {
		return err
	}
	form, ctx := r.PostFormValue, r.Context()
	switch form("do") {
	case "change":
		display, role, g := form("display"), access.Role(form("role")), grants(r)
		c := access.Change{Display: &display, Password: form("password")}
		if role != a.Role || g != a.Grants {
			c.Role, c.Grants = &role, &g
		}
		_, err = s.o.Access.Change(ctx, r.token, a.ID, c)
	case "reset":
		_, err = s.o.Access.ResetPassword(ctx, r.token, a.ID, form("password"))
	case "disable":
		_, err = s.o.Access.Disable(ctx, r.token, a.ID)
	case "enable":
		_, err = s.o.Access.Enable(ctx, r.token, a.ID, form("password"))
	case "end":
		err = s.o.Access.EndAll(r.token, a.ID)
	default:
		return errForm
	}
	if err == nil {
		s.redirect(r, "/settings/accounts?done=account")
		return nil
	}
	words, status, err := refused(err)
	if err != nil {
		return err
	}
	return s.accountAnswer(r, status, words)
}
