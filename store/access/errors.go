package access

import (
	"errors"
	"fmt"
	"time"

	"chartcellar/store/keys"
)

// What a caller acts on. Words has a sentence for each.
var (
	// ErrWrong says that name and password do not fit. It is the same for a name
	// that does not exist and for a disabled account.
	ErrWrong = errors.New("the name or the password is wrong")
	// ErrTooMany is wrapped by *LimitError.
	ErrTooMany = errors.New("too many wrong attempts")
	// ErrBusy says that too many passwords are being checked at once.
	ErrBusy = errors.New("too many sign-ins at once")
	// ErrNoSession says that the token names no session, or one that has ended.
	ErrNoSession = errors.New("not signed in")
	// ErrSessionLocked says that the session needs its password again.
	ErrSessionLocked = errors.New("the session is locked")
	// ErrStepUp says that the password was not given lately enough.
	ErrStepUp = errors.New("the password is needed once more")
	// ErrDenied says that the account may not do it.
	ErrDenied = errors.New("this account may not do that")
	// ErrMustChange says that the password must be changed before anything else.
	ErrMustChange = errors.New("the password must be changed first")

	// ErrNoAccount says that there is no such account.
	ErrNoAccount = errors.New("there is no such account")
	// ErrNameTaken says that the name is taken, or looks like one that is.
	ErrNameTaken = errors.New("the name is taken, or looks like one that is")
	// ErrBadName says that the name cannot be a sign-in name.
	ErrBadName = errors.New("this cannot be a sign-in name")
	// ErrBadRole says that role and grants do not fit together.
	ErrBadRole = errors.New("the role is unknown, or a grant does not fit it")
	// ErrLastOwner says that no owner would be left.
	ErrLastOwner = errors.New("the last owner must stay")
	// ErrOwnAccount says that nobody may do this to his own account.
	ErrOwnAccount = errors.New("not possible with the own account")
	// ErrIdle says that an idle time is outside MinIdle to MaxIdle.
	ErrIdle = errors.New("the idle time is out of range")
	// ErrSlotStays says that the account is changed as asked, but that its old
	// password still opens the key slot. CloseSlots tries again.
	ErrSlotStays = errors.New("the old key slot is still open")

	// ErrNeedsPassword says that the change gives or takes charts, which needs a
	// new password.
	ErrNeedsPassword = errors.New("the change needs a new password")
	// ErrShortPassword is that of the key slots.
	ErrShortPassword = keys.ErrShort
	// ErrLongPassword says that a password is longer than MaxPassword.
	ErrLongPassword = errors.New("the password is too long")
	// ErrCommonPassword says that the password is one of those tried first.
	ErrCommonPassword = errors.New("the password is easy to guess")
	// ErrNamePassword says that the password is little more than a name.
	ErrNamePassword = errors.New("the password is made of the name")
	// ErrSamePassword says that the new password is the old one.
	ErrSamePassword = errors.New("the new password is the old one")

	// ErrBadCode says that the setup code is wrong, used or too old.
	ErrBadCode = errors.New("the setup code is wrong, used or too old")
	// ErrHasOwner says that setup is over: there is an owner.
	ErrHasOwner = errors.New("there is an owner already")
	// ErrNoRecovery says that the recovery key was not proven.
	ErrNoRecovery = errors.New("the recovery key does not fit")

	// ErrShortReason says that the reason has fewer than MinReason characters.
	ErrShortReason = errors.New("the reason is too short")
	// ErrDuration says that emergency access was asked for too long.
	ErrDuration = errors.New("emergency access cannot last that long")
	// ErrNoEmergency says that there is no such emergency access to be reviewed.
	ErrNoEmergency = errors.New("there is no such emergency access")
	// ErrOwnReview says that nobody reviews his own emergency access.
	ErrOwnReview = errors.New("somebody else must review it")

	// ErrMissing says that access.db is gone though accounts were set up.
	ErrMissing = errors.New("the accounts are missing")
	// ErrDamaged says that access.db is not what was written, or of another mirror.
	ErrDamaged = errors.New("the accounts are damaged")
	// ErrNewer says that access.db is of a newer release.
	ErrNewer = errors.New("the accounts were written by a newer release")
	// ErrHeld says that another process has access.db open.
	ErrHeld = errors.New("the accounts are open in another process")
	// ErrInOrder says that there is nothing to start over.
	ErrInOrder = errors.New("the accounts are in order")
	// ErrBroken says that an earlier write went wrong: Close and Open again.
	ErrBroken = errors.New("an earlier change could not be written")
)

// A LimitError says how long to wait. It wraps ErrTooMany.
type LimitError struct{ Wait time.Duration }

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%v, wait %s", ErrTooMany, e.Wait.Round(time.Second))
}

// Unwrap makes errors.Is(err, ErrTooMany) true.
func (e *LimitError) Unwrap() error { return ErrTooMany }

// words pairs the sentinels with what a person sees.
func words() []struct {
	err  error
	text string
} {
	return []struct {
		err  error
		text string
	}{
		{ErrWrong, "The name or the password is wrong. Please try again."},
		{ErrBusy, "Several people are signing in at this moment. Please try again in a few seconds."},
		{ErrNoSession, "You are signed out. Please sign in."},
		{ErrSessionLocked, "Locked. Type your password to go on where you were."},
		{ErrStepUp, "Please type your password once more to do this."},
		{ErrDenied, "Your account may not do this. An owner of the practice can."},
		{ErrMustChange, "Please choose your own password first."},
		{ErrNoAccount, "There is no such account."},
		{ErrNameTaken, "This name is taken, or looks too much like one that is. Please choose another."},
		{ErrBadName, "A sign-in name has 2 to 40 letters or digits of one alphabet; . _ - ' @ and single spaces may stand between them."},
		{ErrBadRole, "This role does not exist, or what was ticked does not go with it."},
		{ErrLastOwner, "The practice needs at least one owner. Make another owner first."},
		{ErrOwnAccount, "Nobody can do this to his own account. Another owner can."},
		{ErrIdle, "The time until the screen locks must be between 2 and 30 minutes."},
		{ErrSlotStays, "The account is changed, but its old password could not be put out of use yet. Sign in as an owner and press Try again."},
		{ErrNeedsPassword, "This change gives or takes the right to see charts. Please give the account a new first password."},
		{ErrShortPassword, "A password has at least 12 characters. Four words that do not belong together are good."},
		{ErrLongPassword, "A password has at most 256 characters."},
		{ErrCommonPassword, "This password is among the first that a stranger tries. Please choose another."},
		{ErrNamePassword, "The password may not be made of your name or the name of the practice."},
		{ErrSamePassword, "The new password is the old one. Please choose another."},
		{ErrBadCode, "The setup code is wrong, used or older than 30 minutes. Start the program again, or run its setup-code command, for a new one."},
		{ErrHasOwner, "Setup is over: this practice has an owner. Please sign in."},
		{ErrNoRecovery, "This is not the recovery key of this practice. Check the sheet line by line."},
		{ErrShortReason, "Please write the reason in at least 20 characters; it will be read by somebody else."},
		{ErrDuration, "Emergency access lasts from 1 minute to 4 hours."},
		{ErrNoEmergency, "There is no such emergency access, or it is reviewed already."},
		{ErrOwnReview, "Somebody else must review your emergency access."},
		{ErrMissing, "The accounts are missing. No record is lost. With the recovery sheet they can be set up again."},
		{ErrDamaged, "The accounts are damaged. No record is lost. With the recovery sheet they can be set up again."},
		{ErrNewer, "The accounts were written by a newer release of the program. Please update."},
		{ErrHeld, "The program is already running and has the accounts open."},
		{ErrInOrder, "The accounts are in order; nothing was changed."},
		{ErrBroken, "An earlier change could not be written. Check the disk and start the program again."},
	}
}

// Words returns what a person may be shown for an error of this package: what
// happened and what to do. It is "" for an error that it does not know.
func Words(err error) string {
	var limit *LimitError
	if errors.As(err, &limit) {
		return fmt.Sprintf("Too many wrong attempts. Please wait %s and try again.", inWords(limit.Wait))
	}
	for _, w := range words() {
		if errors.Is(err, w.err) {
			return w.text
		}
	}
	return ""
}

func inWords(d time.Duration) string {
	n, unit := int(d.Round(time.Second)/time.Second), "second"
	if n > 90 {
		n, unit = (n+59)/60, "minute"
	}
	n = max(n, 1)
	if n > 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
