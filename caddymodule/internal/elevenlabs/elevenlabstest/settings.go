package elevenlabstest

import "net/http"

func (s *Server) getSettings(*http.Request) answer {
	return success(map[string]any{"webhooks": s.settings, "can_use_mcp_servers": true, "rag_retention_period_days": 10})
}

func (s *Server) patchSettings(r *http.Request) answer {
	body, problems := read(r, object(map[string]member{"webhooks": {webhooksBody(s.settings), true}}))
	if problems != nil {
		return invalid(problems)
	}
	webhooks := body["webhooks"].(map[string]any)
	if !s.exists(webhooks) {
		return notFound("webhook")
	}
	s.settings = webhooks // keys that are not sent are lost, which is harder for a client
	return s.getSettings(r)
}

func (s *Server) getAgent(r *http.Request) answer {
	overrides, found := s.agents[r.PathValue("id")]
	if !found {
		return notFound("agent")
	}
	return success(map[string]any{
		"agent_id": r.PathValue("id"), "name": "Receptionist", "conversation_config": map[string]any{}, "metadata": map[string]any{"created_at_unix_secs": 1, "updated_at_unix_secs": 1},
		"platform_settings": map[string]any{"workspace_overrides": overrides},
	})
}

func (s *Server) patchAgent(r *http.Request) answer {
	agent, found := s.agents[r.PathValue("id")]
	if !found {
		return notFound("agent")
	}
	overrides := object(map[string]member{"webhooks": {webhooksBody(webhooksOf(agent)), true}, callStart: {nullable(callStartBody), false}})
	platform := object(map[string]member{"workspace_overrides": {overrides, true}})
	body, problems := read(r, object(map[string]member{"platform_settings": {platform, true}}))
	if problems != nil {
		return invalid(problems)
	}
	changed := body["platform_settings"].(map[string]any)["workspace_overrides"].(map[string]any)
	if !s.exists(webhooksOf(changed)) {
		return notFound("webhook")
	}
	s.agents[r.PathValue("id")] = changed // keys that are not sent are lost here too
	return s.getAgent(r)
}

// exists reports whether the webhook that a webhooks object names exists, if it names
// one.
func (s *Server) exists(webhooks map[string]any) bool {
	id, named := webhooks["post_call_webhook_id"].(string)
	return !named || s.find(id) != nil
}
