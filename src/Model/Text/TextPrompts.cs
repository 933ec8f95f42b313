using QSharp.Engine;

namespace QSharp.Model;

/// <summary>The one place where a prompt becomes tokens, for tasks and for generation alike.</summary>
public static class TextPrompts
{
    /// <summary>Messages through the model's chat template, ready for the model's answer. The template writes its own BOS.</summary>
    /// <exception cref="UserException">The model has no chat template, the template refuses the messages, or a token is none of the model's.</exception>
    public static int[] FromMessages(IReadOnlyList<ChatMessage> messages, ModelFiles model)
    {
        ChatTemplate template = model.Chat
            ?? throw new UserException($"{model.Path}: this model has no chat template, which messages need; give an instruction-tuned model, or plain prompts.");
        return Encode(template.Render(messages, generationPrompt: true), model, special: false);
    }

    /// <summary>A plain prompt.</summary>
    /// <exception cref="UserException">A token of it is none of the model's.</exception>
    public static int[] FromText(string text, ModelFiles model) => Encode(text, model, special: true);

    /// <summary>One request: as a user's message where the model has a chat template and it is wanted, else as plain text.</summary>
    public static int[] FromRequest(string request, ModelFiles model, bool useChat) =>
        useChat && model.Chat is not null ? FromMessages([new ChatMessage("user", request)], model) : FromText(request, model);

    /// <summary>A tokenizer may have tokens, added after training, that the model has no rows for; they can come in a text, and are then refused.</summary>
    private static int[] Encode(string text, ModelFiles model, bool special)
    {
        int[] ids = model.Tokenizer.Encode(text, special);
        int rows = model.Transformer.Vocab, at = Array.FindIndex(ids, id => id >= rows);
        if (at < 0) return ids;
        throw new UserException($"{model.Path}: the prompt has the token '{model.Tokenizer.Token(ids[at])}' with id {ids[at]}, but the model knows {rows} tokens; leave it out, or give a model that was trained with this tokenizer.");
    }
}
