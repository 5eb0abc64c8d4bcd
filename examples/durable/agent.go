package durable

import (
	"context"
	"fmt"

	"github.com/taskctx/taskctx/runtime"
)

// Turn is one contribution to a conversation: by the user, the model, or a
// tool.
type Turn struct {
	Role string     `json:"role"`
	Text string     `json:"text"`
	Use  []ToolCall `json:"use,omitempty"` // the model's requests
}

// ToolCall is a question to a tool.
type ToolCall struct {
	Tool  string `json:"tool"`
	Input string `json:"input"`
}

// Model is a language model.
type Model interface {
	Chat(ctx context.Context, history []Turn) (Turn, error)
}

// AgentContext is the context of agents.
type AgentContext struct {
	*runtime.Context
	Model Model `task:"supply"`
}

// maxTurns ends a conversation that goes nowhere.
const maxTurns = 20

// Research answers a question with the help of tools. Each answer of the model is
// remembered, so that a crash costs none of them; tools are tasks, with retries,
// queues and limits of their own.
//
//task:context durable retries=5
func Research(ctx *AgentContext, question string) (answer string, err error) {
	history := []Turn{{Role: "user", Text: question}}
	for turn := range maxTurns {
		reply, err := runtime.Step(ctx, fmt.Sprint("turn ", turn), func(ctx *AgentContext) (Turn, error) {
			return ctx.Model.Chat(ctx, history)
		})
		if err != nil {
			return "", err
		}
		if len(reply.Use) == 0 {
			return reply.Text, nil
		}
		history = append(history, reply)
		var tools []*runtime.Future[string]
		for i, use := range reply.Use {
			tools = append(tools, runtime.Spawn(ctx, fmt.Sprintf("turn %d, tool %d", turn, i), UseToolCall(use)))
		}
		ends, err := runtime.AwaitEnds(ctx, tools...)
		if err != nil {
			return "", err
		}
		for _, end := range ends {
			text := end.Result
			if end.Err != nil {
				text = "failed: " + end.Err.Error() // the model may try another way
			}
			history = append(history, Turn{Role: "tool", Text: text})
		}
	}
	return "", runtime.Permanent(fmt.Errorf("no answer in %d turns", maxTurns))
}

// UseTool asks a tool.
//
//task:context retries=2 timeout=1m queue=tools
func UseTool(ctx *runtime.Context, use ToolCall) (string, error) {
	tools, err := runtime.Require[map[string]func(context.Context, string) (string, error)](ctx)
	if err != nil {
		return "", err
	}
	tool, ok := tools[use.Tool]
	if !ok {
		return "", runtime.Permanent(fmt.Errorf("there is no tool %q", use.Tool))
	}
	return tool(ctx, use.Input)
}
