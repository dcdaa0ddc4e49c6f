package rest

import (
	"net/url"
	"slices"
)

// confirm adds origins that a person has named to a list.
func (c *Client) confirm(list *[]string, named []string) error {
	for _, n := range named {
		u, err := url.Parse(n)
		if err != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			return &Error{Kind: UnsafeURL, Class: "an origin in the settings"}
		}
		if err := c.checkURL(u); err != nil {
			return withClass(err, "an origin in the settings")
		}
		*list = append(*list, origin(u))
	}
	return nil
}

// home reports whether an address is the EMR's own: one that may get the token.
func (c *Client) home(u *url.URL) bool { return slices.Contains(c.origins, origin(u)) }

// mayLeave reports whether we may go from the EMR's own address to another: only
// to the known origin of its files (P67). The first one becomes known, unless a
// person has named some.
func (c *Client) mayLeave(to *url.URL, class string, status int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := origin(to)
	if slices.Contains(c.files, o) {
		return nil
	}
	if c.o.FileOrigins != nil || len(c.files) > 0 {
		return &Error{Kind: Elsewhere, Class: class, Status: status, Detail: o}
	}
	if c.o.NewFileOrigin != nil {
		if err := c.o.NewFileOrigin(o); err != nil {
			return err
		}
	}
	c.files = []string{o}
	return nil
}
