Console.WriteLine("qsharp");
