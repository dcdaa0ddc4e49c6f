package rest

import (
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// checkURL refuses addresses we never go to, before any connection: anything
// but https (http only on loopback with Local), and addresses with a user (P113).
func (c *Client) checkURL(u *url.URL) error {
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && ip.IsLoopback()
	switch {
	case u.Host == "" || u.User != nil:
		return &Error{Kind: UnsafeURL}
	case u.Scheme == "https":
	case u.Scheme == "http" && c.o.Local && loopback && c.base.Scheme == "http":
	default:
		return &Error{Kind: UnsafeURL}
	}
	if err == nil && !c.allowed(ip) {
		return &Error{Kind: UnsafeURL}
	}
	return nil
}

// carrier is the address space of carrier-grade NAT, which Go calls public.
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// allowed reports whether we connect to an address: public ones, and with
// Local those of the office network. Link-local addresses never.
func (c *Client) allowed(ip netip.Addr) bool {
	ip = ip.Unmap()
	if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
		return false
	}
	inside := ip.IsLoopback() || ip.IsPrivate() || carrier.Contains(ip)
	return c.o.Local || !inside
}

// dialer checks the address that is really dialled, after the name was looked
// up: a name that points inside the office is refused too.
func (c *Client) dialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			host, err := netip.ParseAddrPort(address)
			if err != nil || !c.allowed(host.Addr()) {
				return &Error{Kind: UnsafeURL}
			}
			return nil
		}}
}
