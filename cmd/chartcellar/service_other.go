//go:build !linux && !windows

package main

import "context"

// asService carries the program out.
func asService(ctx context.Context, program func(context.Context) int) int { return program(ctx) }

var errNoService = &plainError{exitUsage, "chartcellar installs a service on Linux (systemd) and Windows only.", "",
	"On this system have \"chartcellar serve\" started by other means, such as launchd."}

func (e *env) serviceInstall(context.Context, serviceOptions) error   { return errNoService }
func (e *env) serviceUninstall(context.Context, serviceOptions) error { return errNoService }
func (e *env) serviceStatus(context.Context, serviceOptions) error    { return errNoService }
