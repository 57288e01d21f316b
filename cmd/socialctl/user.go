package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"socialctl/social"
)

func (a *app) userCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "user",
		Short: "Make, show and change accounts.",
		Long: `Make, show and change accounts, in a running or resting system. USER is an id,
or a name with or without @ before it.`,
		Example: "  socialctl user show @ada",
	},
		a.userCreateCommand(),
		a.userShowCommand(),
		a.userListCommand(),
		a.userPasswdCommand(),
		a.userTokenCommand(),
		a.userStateCommand(stateChange{
			verb: "disable", short: "Keep somebody out, and their messages out of sight.",
			long:    "Keep somebody out, and their messages out of sight. All sessions end; enable takes it\nback.",
			done:    "disabled",
			example: "  socialctl user disable spammer --dry-run\n  socialctl user disable spammer",
			apply:   (*social.Accounts).Disable,
		}),
		a.userStateCommand(stateChange{
			verb: "enable", short: "Let somebody back in after disable.",
			long:    "Let somebody back in after disable. They log in anew.",
			done:    "live",
			example: "  socialctl user enable spammer",
			apply:   (*social.Accounts).Enable,
		}),
		a.userStateCommand(stateChange{
			verb: "delete", short: "Delete an account, for good.",
			long: `Delete an account, for good: at once for everybody who looks. Its follows, fans
and messages are taken away by a job, for which a server or worker must run. The
name stays taken.`,
			done:    "deleted",
			asks:    true,
			example: "  socialctl user delete spammer --dry-run\n  socialctl user delete spammer --yes",
			apply:   (*social.Accounts).Erase,
		}),
	)
}

// accountChange is what a command did to an account, or would do.
type accountChange struct {
	ID     social.UserID `json:"id,omitempty"` // none before it is made
	Name   string        `json:"name"`
	State  string        `json:"state"`
	Did    string        `json:"did"`
	DryRun bool          `json:"dry_run"`
}

func (a *app) userCreateCommand() *cobra.Command {
	var display, file string
	var ask bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an account.",
		Long: `Make an account. Without a password nobody can log in to it until it gets one by
user passwd; user token gives a session all the same.`,
		Example: `  socialctl user create ada --display-name "Ada Lovelace"
  socialctl user create ada --ask-password
  socialctl user create ada --password-file secret.txt`,
		Args: takes(1, 1),
	}
	flags := cmd.Flags()
	flags.StringVar(&display, "display-name", "", "Name that is shown; NAME itself without it.")
	flags.StringVar(&file, "password-file", "", "`FILE` whose first line is the password; - is standard input.")
	flags.BoolVar(&ask, "ask-password", false, "Ask for the password on the terminal.")
	cmd.MarkFlagsMutuallyExclusive("password-file", "ask-password")
	dryRun := dryRunFlag(flags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, name := cmd.Context(), args[0]
		password := ""
		var err error
		switch {
		case file != "":
			password, err = a.passwordFile(file)
		case ask:
			password, err = a.askPassword(ctx, name)
		}
		if err != nil {
			return err
		}
		return a.createUser(ctx, social.SignUp{Name: name, DisplayName: display, Password: password}, *dryRun)
	}
	return cmd
}

func (a *app) createUser(ctx context.Context, in social.SignUp, dryRun bool) error {
	return a.use(ctx, func(b *social.Backend) error {
		change := accountChange{Name: in.Name, State: "live", Did: "create", DryRun: dryRun}
		if dryRun {
			if err := b.Accounts.CheckCreate(ctx, in.Name, in.DisplayName, in.Password); err != nil {
				return err
			}
			return a.printer().Object(change)
		}
		id, err := b.Accounts.Create(ctx, in.Name, in.DisplayName, in.Password)
		if err != nil {
			return err
		}
		if in.Password == "" {
			a.note("nobody can log in to it until it has a password: socialctl user passwd %s", in.Name)
		}
		change.ID = id
		return a.printer().Object(change)
	})
}

func (a *app) userShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show USER",
		Short: "Show an account, in whatever state it is, and where it lies.",
		Example: `  socialctl user show ada
  socialctl user show 17 --output json`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.look(cmd.Context(), func(b *social.Backend) error {
				account, err := b.Accounts.Find(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printer().Object(account)
			})
		},
	}
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

func (a *app) userListCommand() *cobra.Command {
	var limit int
	var after int64
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List accounts in the order of their ids.",
		Long: `List accounts in the order of their ids, in whatever state they are. Rows come as
they are read; to go on after a list that --limit has ended, give its last id to
--after.`,
		Example: `  socialctl user list --limit 20
  socialctl user list --limit 0 --output json
  socialctl user list --after 1200`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 || after < 0 {
				return usageError("--limit and --after are not below 0")
			}
			return a.look(cmd.Context(), func(b *social.Backend) error {
				return a.listUsers(cmd.Context(), b, social.UserID(after), limit)
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "Show so many `ROWS` at most; 0 for all.")
	cmd.Flags().Int64Var(&after, "after", 0, "Begin behind this `ID`. (default 0, the beginning)")
	return cmd
}

func (a *app) listUsers(ctx context.Context, b *social.Backend, after social.UserID, limit int) error {
	out := a.printer().Stream("id", "name", "display_name", "state", "password", "messages", "followers", "following", "created_at")
	shown := 0
	err := b.Accounts.Walk(ctx, after, func(s social.AccountStatus) error {
		if limit > 0 && shown == limit {
			return errEnough
		}
		shown++
		return out.Row(s.ID, s.Name, s.DisplayName, s.State, s.Password, s.MessageCount, s.FollowersCount, s.FollowingCount, s.CreatedAt)
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, out.Close())
}

func (a *app) userPasswdCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "passwd USER",
		Short: "Give an account a new password, and end its sessions.",
		Long: `Give an account a new password, and end its sessions. It is asked for on the
terminal, or comes from a file; never from the command line, where others see it.`,
		Example: `  socialctl user passwd ada
  socialctl user passwd ada --password-file secret.txt`,
		Args: takes(1, 1),
	}
	cmd.Flags().StringVar(&file, "password-file", "", "`FILE` whose first line is the password; - is standard input.")
	dryRun := dryRunFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return a.use(ctx, func(b *social.Backend) error {
			account, err := b.Accounts.Find(ctx, args[0])
			if err != nil {
				return err
			}
			var password string
			if file != "" {
				password, err = a.passwordFile(file)
			} else {
				password, err = a.askPassword(ctx, account.Name)
			}
			if err == nil {
				err = b.Accounts.CheckPassword(password)
			}
			if err == nil && !*dryRun {
				err = b.Accounts.SetPassword(ctx, account.ID, password)
			}
			if err != nil {
				return err
			}
			return a.printer().Object(accountChange{account.ID, account.Name, account.State, "passwd", *dryRun})
		})
	}
	return cmd
}

func (a *app) userTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token USER",
		Short: "Open a session, and print its token, to act as that person.",
		Long: `Open a session, and print its token, to act as that person. As a table it is the
token alone, for a script's variable. The person sees the session among theirs.`,
		Example: `  socialctl user token ada
  curl -H "Authorization: Bearer $(socialctl user token ada)" http://127.0.0.1:8080/v1/accounts/me`,
		Args: takes(1, 1),
	}
	dryRun := dryRunFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		return a.use(ctx, func(b *social.Backend) error {
			account, err := b.Accounts.Find(ctx, args[0])
			if err != nil {
				return err
			}
			if *dryRun {
				return a.printer().Object(accountChange{account.ID, account.Name, account.State, "token", true})
			}
			granted, err := b.Sessions.Grant(ctx, account.ID)
			if err != nil {
				return fmt.Errorf("account %s is %s: %w", account.Name, account.State, err)
			}
			if a.format == formatTable {
				_, err := fmt.Fprintln(a.stdout, granted.Token)
				return err
			}
			return a.printer().Object(struct {
				ID        social.UserID `json:"id"`
				Name      string        `json:"name"`
				Token     string        `json:"token"`
				ExpiresAt social.Millis `json:"expires_at"`
			}{account.ID, account.Name, granted.Token, granted.ExpiresAt})
		})
	}
	return cmd
}

// stateChange is a command that puts an account into another state.
type stateChange struct {
	verb, short, long, example string
	done                       string // the state that it leads to
	asks                       bool
	apply                      func(a *social.Accounts, ctx context.Context, id social.UserID) error
}

func (a *app) userStateCommand(c stateChange) *cobra.Command {
	cmd := &cobra.Command{Use: c.verb + " USER", Short: c.short, Long: c.long, Example: c.example, Args: takes(1, 1)}
	dryRun := dryRunFlag(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.use(cmd.Context(), func(b *social.Backend) error {
			return a.changeState(cmd.Context(), b, c, args[0], *dryRun)
		})
	}
	return cmd
}

func (a *app) changeState(ctx context.Context, b *social.Backend, c stateChange, ref string, dryRun bool) error {
	account, err := b.Accounts.Find(ctx, ref)
	if err != nil {
		return err
	}
	change := accountChange{account.ID, account.Name, account.State, c.verb, dryRun}
	switch {
	case account.State == c.done:
		a.note("%s is %s already; nothing was changed", account.Name, c.done)
		return a.printer().Object(change)
	case account.State != "live" && account.State != "disabled":
		return fmt.Errorf("%s is %s: it cannot be %sd", account.Name, account.State, c.verb)
	}
	change.State = c.done
	if dryRun {
		return a.printer().Object(change)
	}
	if c.asks {
		question := fmt.Sprintf("%s %s (id %s) for good, with %d messages and %d followers?", c.verb, account.Name, account.ID,
			account.MessageCount, account.FollowersCount)
		if err := a.confirm(ctx, question); err != nil {
			return err
		}
	}
	if err := c.apply(b.Accounts, ctx, account.ID); err != nil {
		return err
	}
	return a.printer().Object(change)
}
