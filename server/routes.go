package server

import "socialctl/social"

// addRoutes is the whole API. me stands before {account} and is tried first, whatever the order here.
func (s *Server) addRoutes() {
	const (
		no, opt, yes = tokenIgnored, tokenOptional, tokenRequired
		read, write  = classRead, classWrite
	)
	type (
		account      = social.Account
		accounts     = social.Page[social.Account]
		message      = social.Message
		messages     = social.Page[*social.Message]
		relationship = social.Relationship
	)
	b := s.b

	add(s, route{"GET", "/healthz", "getHealth", no, read, 200, Health{}, unlimited, "Whether the process runs"}, s.getHealth)
	add(s, route{"GET", "/readyz", "getReady", no, read, 200, Health{}, unlimited, "Whether requests can be answered"}, s.getReady)
	add(s, route{"GET", "/v1/instance", "getInstance", no, read, 200, Instance{}, etagged, "What a client needs before it draws"}, s.getInstance)

	add(s, route{"POST", "/v1/accounts", "signUp", no, classSignup, 201, social.Granted{}, 0, "Sign up"}, s.signUp)
	add(s, route{"POST", "/v1/sessions", "logIn", no, classLogin, 201, social.Granted{}, 0, "Log in"}, s.logIn)
	add(s, route{"GET", "/v1/sessions", "listSessions", yes, read, 200, social.Page[social.Session]{}, 0, "One's sessions"}, s.listSessions)
	add(s, route{"DELETE", "/v1/sessions/{id}", "endSession", yes, write, 204, nil, 0, "End a session, or log out"}, s.endSession)

	add(s, route{"GET", "/v1/accounts", "getAccounts", opt, read, 200, Items[account]{}, 0, "Accounts by id"}, s.getAccounts)
	add(s, route{"GET", "/v1/accounts/{account}", "getAccount", opt, read, 200, account{}, etagged, "An account"}, s.getAccount)
	add(s, route{"PATCH", "/v1/accounts/me", "updateAccount", yes, write, 200, account{}, 0, "Change one's profile or password"}, s.updateAccount)
	add(s, route{"DELETE", "/v1/accounts/me", "deleteAccount", yes, write, 202, Accepted{}, 0, "Delete one's account"}, s.deleteAccount)

	add(s, route{"PUT", "/v1/accounts/{account}/follow", "follow", yes, write, 200, relationship{}, may202, "Follow"}, s.relate(b.Relations.Follow))
	add(s, route{"DELETE", "/v1/accounts/{account}/follow", "unfollow", yes, write, 200, relationship{}, may202, "Unfollow"}, s.relate(b.Relations.Unfollow))
	add(s, route{"PUT", "/v1/accounts/{account}/block", "block", yes, write, 200, relationship{}, may202, "Block"}, s.relate(b.Relations.Block))
	add(s, route{"DELETE", "/v1/accounts/{account}/block", "unblock", yes, write, 200, relationship{}, may202, "Unblock"}, s.relate(b.Relations.Unblock))
	add(s, route{"PUT", "/v1/accounts/{account}/mute", "mute", yes, write, 200, relationship{}, may202, "Mute"}, s.relate(b.Relations.Mute))
	add(s, route{"DELETE", "/v1/accounts/{account}/mute", "unmute", yes, write, 200, relationship{}, may202, "Unmute"}, s.relate(b.Relations.Unmute))
	add(s, route{"DELETE", "/v1/accounts/me/followers/{account}", "removeFollower", yes, write, 200, relationship{}, may202, "Remove a follower"}, s.relate(b.Relations.RemoveFollower))
	add(s, route{"GET", "/v1/accounts/{account}/followers", "listFollowers", opt, read, 200, accounts{}, 0, "Who follows an account"}, s.listOf(b.Relations.Followers))
	add(s, route{"GET", "/v1/accounts/{account}/following", "listFollowing", opt, read, 200, accounts{}, 0, "Whom an account follows"}, s.listOf(b.Relations.Following))
	add(s, route{"GET", "/v1/accounts/me/blocks", "listBlocks", yes, read, 200, accounts{}, 0, "Whom one blocks"}, s.ownList(b.Relations.Blocks))
	add(s, route{"GET", "/v1/accounts/me/mutes", "listMutes", yes, read, 200, accounts{}, 0, "Whom one mutes"}, s.ownList(b.Relations.Mutes))
	add(s, route{"GET", "/v1/accounts/relationships", "getRelationships", yes, read, 200, Items[relationship]{}, 0, "How one stands to others"}, s.getRelationships)

	add(s, route{"POST", "/v1/messages", "publish", yes, write, 201, message{}, keyed, "Publish a message"}, s.publish)
	add(s, route{"GET", "/v1/messages", "getMessages", opt, read, 200, Items[message]{}, 0, "Messages by id"}, s.getMessages)
	add(s, route{"GET", "/v1/messages/{id}", "getMessage", opt, read, 200, message{}, 0, "A message"}, s.getMessage)
	add(s, route{"DELETE", "/v1/messages/{id}", "deleteMessage", yes, write, 204, nil, 0, "Delete one's message, comment or repost"}, s.deleteMessage)
	add(s, route{"GET", "/v1/messages/{id}/context", "getContext", opt, read, 200, social.Context{}, 0, "What a reply answers, up to the root"}, s.getContext)
	add(s, route{"POST", "/v1/messages/{id}/comments", "comment", yes, write, 201, message{}, keyed, "Comment"}, s.comment)
	add(s, route{"GET", "/v1/messages/{id}/comments", "listComments", opt, read, 200, commentList{}, 0, "Comments, by cursor or by fixed page"}, s.listComments)
	add(s, route{"POST", "/v1/messages/{id}/reposts", "repost", yes, write, 201, message{}, keyed | may200, "Repost, with or without words"}, s.repost)
	add(s, route{"GET", "/v1/messages/{id}/reposts", "listReposts", opt, read, 200, messages{}, 0, "Reposts"}, s.listReposts)
	add(s, route{"PUT", "/v1/messages/{id}/repost", "putRepost", yes, write, 200, message{}, 0, "Repost without words"}, s.putRepost)
	add(s, route{"DELETE", "/v1/messages/{id}/repost", "deleteRepost", yes, write, 200, message{}, 0, "Take one's repost without words back"}, s.deleteRepost)

	add(s, route{"GET", "/v1/accounts/{account}/messages", "listAccountMessages", opt, read, 200, messages{}, 0, "What an account published"}, s.listAccountMessages)
	add(s, route{"GET", "/v1/timelines/home", "getHome", yes, read, 200, messages{}, etagged | home, "One's home timeline"}, s.home)
}
