package server

import (
	"context"
	"net/http"

	"socialctl/social"
)

// Instance is what a client needs to know before it draws.
type Instance struct {
	Name         string   `json:"name" doc:"The software."`
	Version      string   `json:"version"`
	Limits       Bounds   `json:"limits"`
	Visibilities []string `json:"visibilities" doc:"Audiences that a message can have here."`
	Features     []string `json:"features" doc:"Features in force."`
}

// Bounds are the sizes that the server accepts and gives.
type Bounds struct {
	MessageLength     int      `json:"message_length" doc:"Longest message, in characters as a person counts them."`
	MessageBytes      int      `json:"message_bytes" doc:"Longest message, in bytes of UTF-8."`
	NameLength        int      `json:"name_length" doc:"Longest name, in characters."`
	DisplayNameLength int      `json:"display_name_length" doc:"Longest display name, in characters."`
	BioLength         int      `json:"bio_length" doc:"Longest description of oneself, in characters."`
	PasswordMinBytes  int      `json:"password_min_bytes"`
	PasswordMaxBytes  int      `json:"password_max_bytes"`
	SessionsMax       int      `json:"sessions_max" doc:"Sessions of one account; a log-in beyond it ends the one that was used longest ago."`
	BodyBytes         int64    `json:"body_bytes" doc:"Largest request body."`
	PageDefault       int      `json:"page_default" doc:"Entries of a list unless told."`
	PageMax           int      `json:"page_max" doc:"Entries of a list at most."`
	IDsMax            int      `json:"ids_max" doc:"Things that can be asked for by id at once."`
	CommentPage       int      `json:"comment_page" doc:"Comments on a fixed page."`
	MediaTypes        []string `json:"media_types" doc:"Types of files that can be uploaded."`
	MediaBytes        int64    `json:"media_bytes" doc:"Largest file that can be uploaded."`
}

func (s *Server) getInstance(_ context.Context, _ *call, _ *struct{}) (reply, error) {
	features := []string{"comments", "reposts", "idempotency_keys"}
	if s.cfg.Timeline.Comments {
		features = append(features, "comments_in_timelines")
	}
	if s.cfg.Limits.Enabled {
		features = append(features, "rate_limits")
	}
	return jsonReply(http.StatusOK, Instance{
		Name: "socialctl", Version: s.version,
		Limits: Bounds{
			MessageLength: s.cfg.Message.MaxLength, MessageBytes: s.cfg.Message.MaxLength * social.BytesPerGrapheme,
			NameLength: social.MaxNameRunes, DisplayNameLength: social.MaxDisplayRunes, BioLength: social.MaxBioRunes,
			PasswordMinBytes: social.MinPassword, PasswordMaxBytes: social.MaxPassword,
			SessionsMax: s.cfg.Session.MaxPerAccount, BodyBytes: s.cfg.HTTP.BodyLimit, PageDefault: social.DefaultPage, PageMax: social.MaxPage, IDsMax: maxIDs, CommentPage: social.CommentPageSize,
			MediaTypes: []string{},
		},
		Visibilities: visibilities(), Features: features,
	}), nil
}

func visibilities() []string {
	var names []string
	for _, v := range []social.Visibility{social.VisibilityPublic, social.VisibilityFollowers, social.VisibilityMutuals,
		social.VisibilityLabels, social.VisibilityPrivate} {
		if _, err := social.ParseVisibility(v.String()); err == nil {
			names = append(names, v.String())
		}
	}
	return names
}
