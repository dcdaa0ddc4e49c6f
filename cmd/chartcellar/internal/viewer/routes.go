package viewer

import (
	"net/http"
	"slices"

	"chartcellar/store/access"
)

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// routes is the table of all pages. A page that is not in it does not exist.
func routes() []Route {
	return slices.Concat(
		doorRoutes(),
		workRoutes(),
		chartRoutes(),
		labRoutes(),
		recordRoutes(),
		documentRoutes(),
		searchRoutes(),
		giveRoutes(),
		hidingRoutes(),
		copyRoutes(),
		settingRoutes(),
		privacyRoutes(),
	)
}

// doorRoutes are those before and beside an account.
func doorRoutes() []Route {
	return []Route{
		{Method: get, Path: "/static/{name}", Who: Anyone, serve: (*Server).serveAsset},
		{Method: get, Path: "/sign-in", Who: Anyone, serve: (*Server).serveSignIn},
		{Method: post, Path: "/sign-in", Who: Anyone, serve: (*Server).doSignIn},
		{Method: get, Path: "/lock", Who: SignedIn, Quiet: true, serve: (*Server).serveLock},
		{Method: post, Path: "/lock", Who: SignedIn, Quiet: true, serve: (*Server).doLock},
		{Method: post, Path: "/unlock", Who: SignedIn, Quiet: true, serve: (*Server).doUnlock},
		{Method: post, Path: "/sign-out", Who: SignedIn, Quiet: true, serve: (*Server).doSignOut},
		{Method: get, Path: "/idle", Who: SignedIn, Quiet: true, serve: (*Server).serveIdle},
		{Method: post, Path: "/stay", Who: access.ChangePassword, serve: (*Server).doStay},
		{Method: get, Path: "/confirm", Who: access.ChangePassword, serve: (*Server).serveConfirm},
		{Method: post, Path: "/confirm", Who: access.ChangePassword, serve: (*Server).doConfirm},

		{Method: get, Path: "/setup", Who: SettingUp, serve: (*Server).serveSetup},
		{Method: get, Path: "/setup/{step}", Who: SettingUp, serve: (*Server).serveSetupStep},
		{Method: get, Path: "/setup/sheet.pdf", Who: SettingUp, serve: (*Server).serveSheetPDF},
		{Method: post, Path: "/setup/owner", Who: SettingUp, Writes: true, serve: (*Server).doSetupOwner},
		{Method: post, Path: "/setup/sheet", Who: SettingUp, Writes: true, serve: (*Server).doSetupSheet},
		{Method: post, Path: "/setup/emr", Who: SettingUp, Writes: true, serve: (*Server).doSetupEMR},
		{Method: post, Path: "/setup/schedule", Who: SettingUp, Writes: true, serve: (*Server).doSetupSchedule},
		{Method: post, Path: "/setup/alerts", Who: SettingUp, Writes: true, serve: (*Server).doSetupAlerts},
		{Method: post, Path: "/setup/skip", Who: SettingUp, Writes: true, serve: (*Server).doSetupSkip},
		{Method: post, Path: "/setup/finish", Who: SettingUp, Writes: true, serve: (*Server).doSetupFinish},
	}
}

// workRoutes are Home, Backups and Reports.
func workRoutes() []Route {
	return []Route{
		{Method: get, Path: "/{$}", Who: access.SeeStatus, serve: (*Server).serveHome},

		{Method: get, Path: "/backups", Who: access.SeeReports, serve: (*Server).serveBackups},
		{Method: get, Path: "/backups/progress", Who: access.SeeReports, Quiet: true, serve: (*Server).serveProgress},
		{Method: post, Path: "/backups/run", Who: access.RunBackups, Writes: true, serve: (*Server).doRun},
		{Method: post, Path: "/backups/verify", Who: access.RunBackups, Writes: true, serve: (*Server).doVerify},
		{Method: post, Path: "/backups/stop", Who: access.RunBackups, Writes: true, serve: (*Server).doStop},
		{Method: post, Path: "/backups/pause", Who: access.RunBackups, Writes: true, serve: (*Server).doPause},
		{Method: post, Path: "/backups/resume", Who: access.RunBackups, Writes: true, serve: (*Server).doResume},
		{Method: get, Path: "/backups/runs", Who: access.SeeReports, serve: (*Server).serveRuns},
		{Method: get, Path: "/backups/runs/{run}", Who: access.SeeReports, serve: (*Server).serveRun},
		{Method: get, Path: "/backups/runs/{run}/report.json", Who: access.SeeReports, serve: (*Server).serveRunJSON},
		{Method: get, Path: "/backups/runs/{run}/report.pdf", Who: access.SeeReports, serve: (*Server).serveRunPDF},
		{Method: get, Path: "/backups/schedule", Who: access.SeeReports, serve: (*Server).serveSchedule},
		{Method: post, Path: "/backups/schedule", Who: access.EditSchedule, Writes: true, serve: (*Server).doSchedule},
		{Method: get, Path: "/backups/gaps", Who: access.SeeReports, serve: (*Server).serveGaps},
		{Method: get, Path: "/backups/held", Who: access.SeeReports, serve: (*Server).serveHeld},
		{Method: post, Path: "/backups/held", Who: access.DecideHeld, Writes: true, serve: (*Server).doHeld},
		{Method: get, Path: "/backups/changes", Who: access.SeeReports, serve: (*Server).serveChanges},
		{Method: get, Path: "/backups/coverage", Who: access.SeeReports, serve: (*Server).serveCoverage},
		{Method: get, Path: "/backups/storage", Who: access.SeeReports, serve: (*Server).serveStorage},

		{Method: get, Path: "/reports", Who: access.SeeReports, serve: (*Server).serveReports},
		{Method: get, Path: "/reports/{month}", Who: access.SeeReports, serve: (*Server).serveMonth},
		{Method: get, Path: "/reports/{month}/report.json", Who: access.SeeReports, serve: (*Server).serveMonthJSON},
		{Method: get, Path: "/reports/{month}/report.pdf", Who: access.SeeReports, serve: (*Server).serveMonthPDF},
	}
}

// copyRoutes are the second copies, the drills, and the files beside the records.
func copyRoutes() []Route {
	return []Route{
		{Method: get, Path: "/backups/copies", Who: access.SeeReports, serve: (*Server).serveCopies},
		{Method: post, Path: "/backups/copies", Who: access.ManageCopies, Writes: true, serve: (*Server).doCopy},
		{Method: post, Path: "/backups/copies/out", Who: access.ManageCopies, Writes: true, serve: (*Server).doCopyOut},
		{Method: post, Path: "/backups/copies/answers", Who: access.AnswerForCopies, Writes: true, serve: (*Server).doAnswers},
		{Method: get, Path: "/backups/copies/new", Who: access.ManageCopies, serve: (*Server).serveNewCopy},
		{Method: post, Path: "/backups/copies/new", Who: access.ManageCopies, Writes: true, serve: (*Server).doNewCopy},
		{Method: get, Path: "/backups/holdings", Who: access.SeeReports, serve: (*Server).serveHoldings},
		{Method: post, Path: "/backups/holdings", Who: access.SeeSensitive, serve: (*Server).doHoldingFiles},
		{Method: post, Path: "/backups/holdings/file", Who: access.Export, serve: (*Server).doHoldingFile},
		{Method: get, Path: "/backups/drill", Who: access.SeeReports, serve: (*Server).serveDrill},
		{Method: post, Path: "/backups/drill", Who: access.TryRestore, Writes: true, serve: (*Server).doDrill},
	}
}

// settingRoutes are Settings and the log.
func settingRoutes() []Route {
	return []Route{
		{Method: get, Path: "/settings", Who: access.SeeStatus, serve: (*Server).serveSettings},
		{Method: post, Path: "/settings/alerts", Who: access.ManageSettings, Writes: true, serve: (*Server).doAlerts},
		{Method: post, Path: "/settings/alerts/test", Who: access.ManageSettings, Writes: true, serve: (*Server).doTestAlert},
		{Method: post, Path: "/settings/connection/test", Who: access.ManageConnection, Writes: true, serve: (*Server).doTestConnection},
		{Method: get, Path: "/settings/password", Who: access.ChangePassword, serve: (*Server).servePassword},
		{Method: post, Path: "/settings/password", Who: access.ChangePassword, Writes: true, serve: (*Server).doPassword},
		{Method: get, Path: "/settings/accounts", Who: access.ManageITAccounts, serve: (*Server).serveAccounts},
		{Method: post, Path: "/settings/accounts", Who: access.ManageITAccounts, Writes: true, serve: (*Server).doAccountNew},
		{Method: get, Path: "/settings/accounts/{id}", Who: access.ManageITAccounts, serve: (*Server).serveAccount},
		{Method: post, Path: "/settings/accounts/{id}", Who: access.ManageITAccounts, Writes: true, serve: (*Server).doAccount},
		{Method: get, Path: "/log", Who: access.SeeOwnAccessLog, serve: (*Server).serveLog},
	}
}
