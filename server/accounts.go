package server

import (
	"context"
	"net/http"

	"socialctl/social"
)

// AccountPath is the {account} of a path.
type AccountPath struct {
	Account string `path:"account" doc:"An account's id, @ and its name, or me."`
}

func (s *Server) getAccount(ctx context.Context, c *call, in *AccountPath) (reply, error) {
	id, err := s.accountOf(ctx, c, in.Account)
	if err != nil {
		return reply{}, err
	}
	a, err := s.b.Accounts.Get(ctx, c.viewer, id)
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusOK, a), nil
}

// idsInput is only for the document: call.list reads the parameter, so that it may be repeated too.
type idsInput struct {
	IDs []string `query:"ids" doc:"Up to 100 ids, separated by commas."`
}

func (s *Server) getAccounts(ctx context.Context, c *call, _ *idsInput) (reply, error) {
	asked, err := ids(c, social.ParseUserID)
	if err != nil {
		return reply{}, err
	}
	all, err := s.b.Accounts.GetMany(ctx, c.viewer, asked)
	if err != nil {
		return reply{}, err
	}
	return items(all), nil
}

// ProfileRequest changes the fields that are given.
type ProfileRequest struct {
	DisplayName     *string `json:"display_name,omitempty" nullable:"false"`
	Bio             *string `json:"bio,omitempty" nullable:"false"`
	Password        *string `json:"password,omitempty" nullable:"false" doc:"The new password; needs current_password and ends the other sessions."`
	CurrentPassword *string `json:"current_password,omitempty" nullable:"false"`
}

func (s *Server) updateAccount(ctx context.Context, c *call, in *struct{ Body ProfileRequest }) (reply, error) {
	a, err := s.b.Accounts.Update(ctx, c.viewer, social.ProfilePatch{
		DisplayName: in.Body.DisplayName, Bio: in.Body.Bio,
		Password: in.Body.Password, CurrentPassword: in.Body.CurrentPassword,
	})
	if err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusOK, a), nil
}

// DeleteAccountRequest confirms the deletion of one's account.
type DeleteAccountRequest struct {
	Password        string `json:"password,omitempty" doc:"One's password."`
	CurrentPassword string `json:"current_password,omitempty" doc:"Another name for password, as PATCH has it."`
}

// Accepted says that something has been begun and ends by itself.
type Accepted struct {
	Pending bool `json:"pending" doc:"Always true."`
}

func (s *Server) deleteAccount(ctx context.Context, c *call, in *struct{ Body DeleteAccountRequest }) (reply, error) {
	password := in.Body.Password
	if password == "" {
		password = in.Body.CurrentPassword
	}
	if password == "" {
		return reply{}, &refusal{
			told:   &social.Error{Code: social.CodeInvalid, Message: "/password: the field is needed."},
			fields: []FieldProblem{{Pointer: "/password", Code: "required", Detail: "the field is needed"}},
		}
	}
	if err := s.b.Accounts.Delete(ctx, c.viewer, password); err != nil {
		return reply{}, err
	}
	return jsonReply(http.StatusAccepted, Accepted{true}), nil
}
