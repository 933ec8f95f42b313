using System.Text.Json.Nodes;

using QSharp.Engine;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>Chat templates and conversations as files: where a template may lie, whose tokens it gets, what is refused.</summary>
public sealed class ChatFilesTests : IDisposable
{
    private const string Hello = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}";
    private readonly TemporaryFolder _folder = new();

    /// <summary>The texts are transformers' own, for the template of a chat model that lies beside the repository.</summary>
    [Fact]
    public void A_real_chat_model_gets_the_texts_and_ids_of_the_reference_library()
    {
        string folder = TestTokenizers.Shared("models", "smollm2-135m-instruct");
        TextFiles files = TextFiles.Open(folder);
        JsonArray cases = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "chat-cases.json")))!.AsArray();
        Assert.NotEmpty(cases);
        foreach (JsonNode? each in cases)
        {
            string text = files.Chat!.Render(ChatMessage.Read(each!["messages"]!.AsArray(), "case"), (bool)each["generation_prompt"]!);
            Assert.Equal((string)each["text"]!, text);
            Assert.Equal(TestTokenizers.Ints(each["ids"]!), files.Tokenizer.Encode(text, special: false));
        }
    }

    [Theory]
    [InlineData("tokenizer_config.json", """{"chat_template":"TEMPLATE","bos_token":"<s>","eos_token":{"content":"</s>"}}""")]
    [InlineData("tokenizer_config.json", """{"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"TEMPLATE"}],"bos_token":"<s>","eos_token":"</s>"}""")]
    [InlineData("chat_template.json", """{"chat_template":"TEMPLATE"}""")]
    [InlineData("chat_template.jinja", "TEMPLATE")]
    public void A_template_is_found_in_each_place_where_it_may_lie(string file, string content)
    {
        if (file != "tokenizer_config.json") Write("tokenizer_config.json", """{"bos_token":null,"eos_token":"</s>"}""");
        Write("special_tokens_map.json", """{"bos_token":{"content":"<s>"},"eos_token":"no"}""");
        Write(file, content.Replace("TEMPLATE", Hello, StringComparison.Ordinal));
        Assert.Equal("<s>Hi</s>", Render());
    }

    [Fact]
    public void A_template_of_its_own_file_comes_before_that_of_the_config_and_tokens_that_are_lacking_are_empty()
    {
        Assert.Null(ChatTemplate.FromFolder(_folder.Path));
        Write("tokenizer_config.json", """{"chat_template":"no","eos_token":"</s>"}""");
        Write("chat_template.jinja", Hello);
        Assert.Equal("Hi</s>", Render());
    }

    [Fact]
    public void Warming_does_not_change_what_comes_out()
    {
        ChatTemplate template = new("{{ messages[0].role }}", null, null, "template");
        template.Warm();
        Assert.Equal("user", template.Render([new("user", "Hi")], true));
        ChatTemplate damaged = new("{% if %}", null, null, "template");
        damaged.Warm();
        for (int i = 0; i < 2; i++) Assert.Throws<UserException>(() => damaged.Render([new("user", "Hi")], true));
    }

    [Theory]
    [InlineData("""{"chat_template":3}""", "chat_template"), InlineData("""{"chat_template":[{"name":"other","template":"x"}]}""", "default")]
    [InlineData("[]", "not a JSON object"), InlineData("{", "not valid JSON"), InlineData("{\"chat_template\":\"\\ud800\"}", "tokenizer_config.json")]
    [InlineData("""{"chat_template":[{"name":"default","template":3}]}""", "default"), InlineData("{\"chat_template\":\"a\",\"bos_token\":\"\\ud800\"}", "tokenizer_config.json")]
    public void Says_what_is_wrong_with_a_damaged_config(string json, string words)
    {
        Write("tokenizer_config.json", json);
        Sentence.Assert(Assert.Throws<UserException>(() => ChatTemplate.FromFolder(_folder.Path)).Message, _folder.Path, words);
    }

    [Theory]
    [InlineData("{}", "array"), InlineData("null", "array"), InlineData("[", "not valid JSON"), InlineData("[3]", "message 0")]
    [InlineData("""[{"role":"user","content":"a"},{"role":"user"}]""", "message 1", "'content'"), InlineData("""[{"role":1,"content":"a"}]""", "'role'")]
    [InlineData("""[{"role":"user","content":"a","content":"b"}]""", "messages.json"), InlineData("[{\"role\":\"user\",\"content\":\"\\ud800\"}]", "surrogate")]
    [InlineData("""[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[]}]""", "message 1", "'tool_calls'", "not supported")]
    public void Says_what_is_wrong_with_messages(string json, params string[] words)
    {
        Write("messages.json", json);
        string path = Path.Combine(_folder.Path, "messages.json");
        Sentence.Assert(Assert.Throws<UserException>(() => ChatMessage.ReadMessages(path)).Message, [path, .. words]);
    }

    [Fact]
    public void Messages_are_read_in_order()
    {
        Write("messages.json", """[{"role":"system","content":""},{"role":"user","content":"é 😀"}]""");
        Assert.Equal([new ChatMessage("system", ""), new ChatMessage("user", "é 😀")], ChatMessage.ReadMessages(Path.Combine(_folder.Path, "messages.json")));
        Sentence.Assert(Assert.Throws<UserException>(() => ChatMessage.ReadMessages(Path.Combine(_folder.Path, "none.json"))).Message, "none.json");
    }

    public void Dispose() => _folder.Dispose();

    private void Write(string name, string text) => File.WriteAllText(Path.Combine(_folder.Path, name), text);

    private string Render() => ChatTemplate.FromFolder(_folder.Path)!.Render([new("user", "Hi")], false);
}
