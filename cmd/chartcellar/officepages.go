package main

import (
	"context"
	"errors"
	"net"

	"golang.org/x/sync/errgroup"

	"chartcellar/cmd/chartcellar/internal/viewer"
	accounts "chartcellar/store/access"
)

var _ viewer.Backend = (*office)(nil)

// openPages opens the accounts and serves the pages: on this computer only until there
// is an owner, then where the settings say.
func (d *daemon) openPages(first *firstRun) (*office, error) {
	o, err := openOffice(d.e, d)
	if err != nil {
		return nil, accountsError(err)
	}
	if first != nil {
		o.front = first.front
	} else if err := o.newFront(); err != nil {
		return nil, errors.Join(err, o.accounts.Close())
	}
	if err := o.show(first); err != nil {
		return nil, errors.Join(err, o.accounts.Close())
	}
	return o, nil
}

func (o *office) newFront() error {
	id, err := identityFor(o.d.settings(), o.m, o.e.now)
	o.front = newFront(id)
	return err
}

// show has the office answer, and opens the address if none is open yet.
func (o *office) show(first *firstRun) error {
	s := o.d.settings()
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return usage("listen = " + s.Listen + ": write an address and a port, such as 127.0.0.1:8350")
	}
	pages, err := viewer.New(viewer.Options{Backend: o, Access: o.accounts, Now: o.e.clock, Zone: o.zone(), Log: o.e.logger(),
		Practice: func() string { return o.d.settings().Practice }, Version: release, TLS: o.front.id != nil,
		NameInTitle: func() bool { return o.d.settings().NameInTitle },
		Hosts:       o.front.names(host)})
	if err != nil {
		return err
	}
	o.front.show(pages.Handler())
	if first != nil {
		first.ready <- o
		return nil
	}
	return o.openAddress()
}

// openAddress opens the pages: before there is an owner for this computer only.
func (o *office) openAddress() error {
	owner, err := o.accounts.HasOwner()
	if err != nil {
		return err
	}
	addr := o.d.settings().Listen
	if !owner {
		addr = hereOnly(addr)
	}
	if err := o.front.listen(addr); err != nil {
		return err
	}
	o.e.printf("The pages: %s\n", o.front.url())
	if o.front.id != nil {
		o.e.printf("Fingerprint of their certificate (SHA-256): %s\n", o.front.id.fingerprint())
	}
	if !owner {
		return o.firstCode()
	}
	return nil
}

// ownerMade opens the pages to the network if the settings want that: there is an
// owner now.
func (o *office) ownerMade() {
	addr := o.d.settings().Listen
	if loopback(addr) || o.front.id == nil {
		return
	}
	if err := o.front.listen(addr); err != nil {
		o.e.logger().Error("pages not opened to the network", "cause", err.Error())
	}
}

// run keeps the pages and the accounts until ctx ends.
func (o *office) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.front.run(ctx) })
	g.Go(func() error { return o.accounts.Run(ctx) })
	g.Go(func() error { return o.Room.Run(ctx) })
	return errors.Join(g.Wait(), o.accounts.Close())
}

// accountsError says what to do when the accounts cannot be opened.
func accountsError(err error) error {
	if errors.Is(err, accounts.ErrMissing) || errors.Is(err, accounts.ErrDamaged) {
		return &plainError{exitFailed, "The accounts of the pages cannot be read: access.db is missing or damaged.",
			"No record is lost: the accounts are no part of the archive.",
			"Stop \"chartcellar serve\"; then, with the recovery sheet: chartcellar accounts start-over --sheet FILE"}
	}
	return err
}
