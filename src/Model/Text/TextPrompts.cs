using QSharp.Engine;

namespace QSharp.Model;

/// <summary>The one place where a prompt becomes tokens, for tasks and for generation alike.</summary>
public static class TextPrompts
{
    /// <summary>Messages through the model's chat template, ready for the model's answer. The template writes its own BOS.</summary>
    /// <exception cref="UserException">The model has no chat template, or the template refuses the messages.</exception>
    public static int[] FromMessages(IReadOnlyList<ChatMessage> messages, ModelFiles model)
    {
        ChatTemplate template = model.Chat
            ?? throw new UserException($"{model.Path}: this model has no chat template; leave --chat out and give a plain prompt, or use an instruction-tuned model.");
        return model.Tokenizer.Encode(template.Render(messages, generationPrompt: true), special: false);
    }

    /// <summary>One request: as a user's message where the model has a chat template and it is wanted, else as plain text.</summary>
    public static int[] FromRequest(string request, ModelFiles model, bool useChat) =>
        useChat && model.Chat is not null ? FromMessages([new ChatMessage("user", request)], model) : model.Tokenizer.Encode(request);
}
