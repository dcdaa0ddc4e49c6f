package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"chartcellar/config"
)

const (
	windowsService = "chartcellar"
	// windowsAccount is the service's own user, which Windows makes with it.
	windowsAccount = `NT SERVICE\chartcellar`
)

// asService carries the program out; where the service manager started it, until
// that says stop.
func asService(ctx context.Context, program func(context.Context) int) int {
	is, err := svc.IsWindowsService()
	if err != nil || !is {
		return program(ctx)
	}
	h := &serviceHandler{ctx: ctx, program: program}
	if err := svc.Run(windowsService, h); err != nil {
		return exitFailed
	}
	return h.code
}

// A serviceHandler talks with the service manager while the program runs.
type serviceHandler struct {
	ctx     context.Context // of the process: Execute is given none
	program func(context.Context) int
	code    int
}

// Execute implements svc.Handler.
func (h *serviceHandler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	ctx, stop := context.WithCancel(h.ctx)
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- h.program(ctx) }()
	running := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	status <- running
	for {
		select {
		case h.code = <-ended:
			return true, uint32(h.code)
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- running
			case svc.Stop, svc.Shutdown:
				running = svc.Status{State: svc.StopPending, WaitHint: 8000}
				status <- running
				stop()
			}
		}
	}
}

func (e *env) serviceInstall(ctx context.Context, o serviceOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.root != "" || o.print || o.user || o.account != "" {
		return usage("--root, --print, --user and --account are for systemd")
	}
	program, err := o.programPath()
	if err != nil {
		return err
	}
	settings, err := e.settingsPath()
	if err != nil {
		return err
	}
	s, err := config.Load(settings)
	if err != nil {
		return err
	}
	if err := addWindowsService(program, settings); err != nil {
		return err
	}
	e.printf("The service %s runs: %s serve --config %s\n", windowsService, program, settings)
	for _, dir := range []string{filepath.Dir(settings), s.Data, filepath.Dir(s.BoxKey)} {
		if err := exec.CommandContext(ctx, "icacls", dir, "/grant", windowsAccount+":(OI)(CI)F").Run(); err != nil {
			return fmt.Errorf("let the service into %s: %w", dir, err)
		}
		e.printf("The service's own user may write in %s\n", dir)
	}
	if err := e.sealForWindows(s, o); err != nil {
		return err
	}
	e.printf("It starts with the computer. Next: sc start %s, then: chartcellar service status\n", windowsService)
	return nil
}

// addWindowsService makes the service; one that is there is not replaced.
func addWindowsService(program, settings string) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("ask the service manager (as an administrator): %w", err)
	}
	defer m.Disconnect()
	if old, err := m.OpenService(windowsService); err == nil {
		old.Close()
		return usage("there is a service of that name already: take it away first with chartcellar service uninstall")
	}
	c := mgr.Config{DisplayName: "chartcellar", Description: "The practice's own copy of its records",
		StartType: mgr.StartAutomatic, ServiceStartName: windowsAccount, DelayedAutoStart: true}
	sv, err := m.CreateService(windowsService, program, c, "serve", "--config", settings)
	if err != nil {
		return fmt.Errorf("make the service: %w", err)
	}
	defer sv.Close()
	return sv.SetRecoveryActions([]mgr.RecoveryAction{{Type: mgr.ServiceRestart, Delay: 30e9}}, 86400)
}

func (e *env) sealForWindows(s config.Settings, o serviceOptions) error {
	if !o.seal {
		return nil
	}
	if err := sealBox(s.BoxKey); err != nil {
		return err
	}
	e.printf("The box key is sealed: %s\nIt is bound to this Windows (DPAPI): on another computer it does not open. Whoever may read the file here can open it.\n",
		s.BoxKey+sealedSuffix)
	if !o.removeKey {
		e.sayKeyStays(s.BoxKey)
		return nil
	}
	return e.removeBoxKey(s.BoxKey)
}

// withService calls f with the service; ok is false if there is none.
func withService(f func(*mgr.Service) error) (ok bool, err error) {
	m, err := mgr.Connect()
	if err != nil {
		return false, fmt.Errorf("ask the service manager (as an administrator): %w", err)
	}
	defer m.Disconnect()
	sv, err := m.OpenService(windowsService)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at the service: %w", err)
	}
	defer sv.Close()
	return true, f(sv)
}

func (e *env) serviceUninstall(context.Context, serviceOptions) error {
	ok, err := withService(func(sv *mgr.Service) error {
		if _, err := sv.Control(svc.Stop); err != nil && !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
			return fmt.Errorf("stop the service: %w", err)
		}
		return sv.Delete()
	})
	switch {
	case err != nil:
		return err
	case !ok:
		return &plainError{Code: exitUsage, What: "No service is installed."}
	}
	e.printf("The service is removed. Settings, keys and records are as they were.\n")
	return nil
}

func (e *env) serviceStatus(context.Context, serviceOptions) error {
	s := serviceState{Running: "unknown"}
	_, err := withService(func(sv *mgr.Service) error {
		c, err := sv.Config()
		if err != nil {
			return err
		}
		s.Installed, s.Starts = c.BinaryPathName, "no"
		if c.StartType == mgr.StartAutomatic {
			s.Starts = "yes"
		}
		st, err := sv.Query()
		if err != nil {
			return err
		}
		if s.Running = "no"; st.State == svc.Running {
			s.Running = "yes"
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.showService(s)
}
