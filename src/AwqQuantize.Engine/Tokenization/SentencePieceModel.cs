using Google.Protobuf;

namespace AwqQuantize.Engine.Tokenization;

/// <summary>What a piece is for (<c>ModelProto.SentencePiece.Type</c>).</summary>
internal enum SentencePieceType
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>How the model segments (<c>TrainerSpec.ModelType</c>).</summary>
internal enum SentencePieceKind
{
    Unigram = 1,
    Bpe = 2,
    Word = 3,
    Char = 4,
}

internal sealed record SentencePiece(string Text, float Score, SentencePieceType Type);

/// <summary>The fields of SentencePiece's <c>ModelProto</c> that tokenizing needs, read from its protobuf.</summary>
internal sealed class SentencePieceModel
{
    private SentencePieceModel()
    {
    }

    public List<SentencePiece> Pieces { get; } = [];

    public SentencePieceKind Kind { get; private set; } = SentencePieceKind.Unigram;

    public bool ByteFallback { get; private set; }

    public int UnknownId { get; private set; }

    public int BosId { get; private set; } = 1;

    public int EosId { get; private set; } = 2;

    public byte[] CharacterMap { get; private set; } = [];

    public bool AddDummyPrefix { get; private set; } = true;

    public bool RemoveExtraWhiteSpace { get; private set; } = true;

    public string? PieceAt(int id) => (uint)id < (uint)Pieces.Count ? Pieces[id].Text : null;

    public static SentencePieceModel Parse(byte[] file)
    {
        var model = new SentencePieceModel();
        try
        {
            Each(file, (tag, input) =>
            {
                switch (tag)
                {
                    case 1:
                        model.Pieces.Add(ReadPiece(input.ReadBytes().ToByteArray()));
                        return true;
                    case 2:
                        model.ReadTrainer(input.ReadBytes().ToByteArray());
                        return true;
                    case 3:
                        model.ReadNormalizer(input.ReadBytes().ToByteArray());
                        return true;
                    default:
                        return false;
                }
            });
        }
        catch (InvalidProtocolBufferException error)
        {
            throw TokenizerErrors.Invalid($"tokenizer.model is not a SentencePiece model ({error.Message})", error);
        }

        return model.Pieces.Count > 0 ? model : throw TokenizerErrors.Invalid("tokenizer.model holds no pieces");
    }

    private static SentencePiece ReadPiece(byte[] message)
    {
        string text = "";
        float score = 0;
        var type = SentencePieceType.Normal;
        Each(message, (tag, input) =>
        {
            switch (tag)
            {
                case 1:
                    text = input.ReadString();
                    return true;
                case 2:
                    score = input.ReadFloat();
                    return true;
                case 3:
                    type = (SentencePieceType)input.ReadEnum();
                    return true;
                default:
                    return false;
            }
        });
        return new SentencePiece(text, score, type);
    }

    private void ReadTrainer(byte[] message) => Each(message, (tag, input) =>
    {
        switch (tag)
        {
            case 3:
                Kind = (SentencePieceKind)input.ReadEnum();
                return true;
            case 35:
                ByteFallback = input.ReadBool();
                return true;
            case 40:
                UnknownId = input.ReadInt32();
                return true;
            case 41:
                BosId = input.ReadInt32();
                return true;
            case 42:
                EosId = input.ReadInt32();
                return true;
            default:
                return false;
        }
    });

    private void ReadNormalizer(byte[] message) => Each(message, (tag, input) =>
    {
        switch (tag)
        {
            case 2:
                CharacterMap = input.ReadBytes().ToByteArray();
                return true;
            case 3:
                AddDummyPrefix = input.ReadBool();
                return true;
            case 4:
                RemoveExtraWhiteSpace = input.ReadBool();
                return true;
            default:
                return false;
        }
    });

    /// <summary>Goes through a message's fields; <paramref name="read"/> reads those it knows, the others are skipped.</summary>
    private static void Each(byte[] message, Func<int, CodedInputStream, bool> read)
    {
        var input = new CodedInputStream(message);
        for (uint tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
        {
            if (!read(WireFormat.GetTagFieldNumber(tag), input))
            {
                input.SkipLastField();
            }
        }
    }
}
